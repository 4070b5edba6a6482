/**
 * A small file of the store that only the daemon's own user may read (0600), such as the keys of tokens. It is replaced as a whole and
 * durably, so a crash leaves the old or the new one.
 */
import { chmod, mkdir, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { isOdd, moveOdd, readRegular, renameDurably } from './disk-files.ts';
import type { StoreLayout } from './layout.ts';
import { guardDisk, type StoreObserver } from './store-error.ts';

export interface SecretFileOptions {
  readonly layout: Pick<StoreLayout, 'tempPath'>;
  /** Of the layout. Its folder is made when it is missing. */
  readonly path: string;
  readonly observer: StoreObserver;
}

export class SecretFile {
  readonly #options: SecretFileOptions;

  constructor(options: SecretFileOptions) {
    this.#options = options;
  }

  /** Undefined: there is none, or something else has its name. Errors: `StoreError`. */
  async read(): Promise<string | undefined> {
    const { observer, path } = this.#options;
    return guardDisk(observer, 'read', async () => {
      try {
        return await readRegular(path);
      } catch (error) {
        if (isOdd(error)) return undefined;
        throw error;
      }
    });
  }

  /** Errors: `StoreError`; the file is then as it was. */
  async write(text: string): Promise<void> {
    const { layout, observer, path } = this.#options;
    const temp = layout.tempPath();
    await guardDisk(observer, 'write', async () => {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await chmod(dirname(path), 0o700);
    });
    try {
      const handle = await guardDisk(observer, 'write', () => open(temp, 'wx', 0o600));
      try {
        await guardDisk(observer, 'write', () => handle.writeFile(text));
        await guardDisk(observer, 'sync', () => handle.datasync());
      } finally {
        await handle.close();
      }
      await guardDisk(observer, 'rename', () => moveOdd(path, layout.tempPath()));
      await renameDurably(observer, temp, path);
    } catch (error) {
      await unlink(temp).catch(() => undefined); // the first error is thrown
      throw error;
    }
  }
}
