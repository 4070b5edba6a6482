/**
 * `DATA/tls-v1/`: the certificates and keys that the mirror made itself. Only its own user reads and writes them, and a file is
 * the old one or the new one after a crash.
 */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readRegular, writeDurably } from './disk-files.ts';
import type { StoreLayout } from './layout.ts';
import { guardDisk, type StoreObserver } from './store-error.ts';

export type TlsFileName = 'ca.pem' | 'ca.key' | 'server.pem' | 'server.key';

const onlyOwner = 0o600;

export class TlsFiles {
  /** Absolute. */
  readonly folder: string;
  readonly #layout: Pick<StoreLayout, 'tempPath'>;
  readonly #observer: StoreObserver;

  constructor(layout: Pick<StoreLayout, 'tempPath' | 'tlsFolder'>, observer: StoreObserver) {
    this.folder = layout.tlsFolder;
    this.#layout = layout;
    this.#observer = observer;
  }

  /** Undefined: there is none. Errors: `StoreError` read, also for what is no regular file. */
  async read(name: TlsFileName): Promise<string | undefined> {
    return guardDisk(this.#observer, 'read', () => readRegular(join(this.folder, name)));
  }

  /** Errors: `StoreError` write, sync or rename. */
  async write(name: TlsFileName, text: string): Promise<void> {
    await guardDisk(this.#observer, 'write', async () => {
      await mkdir(this.folder, { recursive: true, mode: 0o700 });
      await chmod(this.folder, 0o700);
    });
    const to = join(this.folder, name);
    await writeDurably(this.#observer, this.#layout.tempPath(), to, Buffer.from(text), onlyOwner);
  }
}
