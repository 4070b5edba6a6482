/**
 * Keeps files that did not match their digest, so that an operator can see what the disk did. Only the newest few stay, within a bound;
 * their bytes count in the limit of the store.
 */
import { lstat, mkdir, readdir, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../oci/digest.ts';
import type { StoreLayout } from '../layout.ts';
import { guardDisk, ignoreMissing, type StoreObserver } from '../store-error.ts';
import { fileIdOf } from './held-blob.ts';

const maxFiles = 4;

export interface QuarantineOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
  /** Milliseconds since the epoch. */
  now(): number;
  /** For all files together, in bytes; a larger file is removed instead. */
  maxBytes(): number;
  /** The change of the bytes that are kept here; negative when files go. */
  counted(bytes: number): void;
}

/** `bytes` are no longer under the digest; `path`: where they are now, if anywhere. */
export interface SetAside {
  readonly bytes: number;
  readonly path: string | undefined;
}

export class Quarantine {
  readonly #options: QuarantineOptions;
  /** By path, in bytes, oldest first. Undefined: not read yet. */
  #files: Map<string, number> | undefined;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  /** Counts the files that an earlier process has left. Errors: `StoreError` scan. */
  load(): Promise<void> {
    return this.#inTurn(async () => {
      await this.#read();
    });
  }

  /**
   * Takes away the file of a digest; with `fileId`, only if it is still that one. Undefined: it isn't there.
   * Errors: `StoreError` rename: it is still there, and can't be moved or removed.
   */
  take(digest: Digest, fileId?: string): Promise<SetAside | undefined> {
    return this.#inTurn(() => guardDisk(this.#options.observer, 'rename', () => this.#take(digest, fileId)));
  }

  async #take(digest: Digest, fileId: string | undefined): Promise<SetAside | undefined> {
    const { layout, maxBytes, now } = this.#options;
    const path = layout.blobPath(digest);
    const found = await lstat(path).catch(ignoreMissing);
    if (found === undefined || (fileId !== undefined && fileIdOf(found) !== fileId)) return undefined;
    const bytes = found.isFile() ? found.size : 0;
    if (bytes > maxBytes()) {
      await unlink(path).catch(ignoreMissing);
      return { bytes, path: undefined };
    }
    const files = await this.#read().catch(() => new Map<string, number>()); // before the target is among them
    const target = layout.quarantinePath(digest, found.ino, now());
    try {
      await mkdir(layout.quarantineFolder, { recursive: true, mode: 0o750 });
      await rename(path, target);
    } catch (error) {
      if (!found.isFile()) throw error;
      await unlink(path).catch(ignoreMissing); // removing it matters more than keeping it
      return { bytes, path: undefined };
    }
    files.set(target, bytes);
    this.#options.counted(bytes);
    await this.#trim(files);
    return { bytes, path: target };
  }

  async #trim(files: Map<string, number>): Promise<void> {
    const { maxBytes, counted } = this.#options;
    for (const [path, bytes] of files) {
      const sum = [...files.values()].reduce((total, size) => total + size, 0);
      if (files.size <= maxFiles && sum <= maxBytes()) return;
      await unlink(path).catch(() => undefined); // a folder, or gone: no longer counted either way
      files.delete(path);
      counted(-bytes);
    }
  }

  async #read(): Promise<Map<string, number>> {
    if (this.#files !== undefined) return this.#files;
    const { layout, observer } = this.#options;
    const files = new Map<string, number>();
    await guardDisk(observer, 'scan', async () => {
      const names = (await readdir(layout.quarantineFolder).catch(ignoreMissing)) ?? [];
      for (const name of names.sort()) {
        const path = join(layout.quarantineFolder, name);
        const found = await lstat(path).catch(ignoreMissing);
        if (found?.isFile() === true) files.set(path, found.size);
      }
    });
    for (const bytes of files.values()) this.#options.counted(bytes);
    this.#files = files;
    return files;
  }

  /** One after the other, so that no byte is counted twice. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#running.then(work);
    this.#running = done.catch(() => undefined);
    return done;
  }
}
