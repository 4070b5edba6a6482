/**
 * Verified bytes under their digest. A file gets its name here only after its bytes were verified and synced, so what this class opens was
 * right when it was stored. It knows no repository, no recency and no limit.
 */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, open, readdir, statfs, unlink, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { algorithmOf, type Digest, digestOf, isDigest } from '../../oci/digest.ts';
import { isOdd, moveOdd, renameDurably, writeDurably } from '../disk-files.ts';
import { FolderSyncs } from '../folder-syncs.ts';
import type { StoreLayout } from '../layout.ts';
import {
  guardDisk,
  ignoreMissing,
  isMissing,
  StoreError,
  type StoreObserver,
  systemCodeOf,
} from '../store-error.ts';
import { HeldBlob, markSeconds, ReadBuffers } from './held-blob.ts';

export interface ScannedBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Last use: milliseconds since the epoch. */
  readonly mtimeMs: number;
}

/** Half of Node's default thread pool of 4, and short work: a scan leaves the disk and the pool to those who pull. */
const statsAtOnce = 8;

export interface BlobStoreOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
}

export class BlobStore {
  readonly #layout: StoreLayout;
  readonly #observer: StoreObserver;
  readonly #folders = new FolderSyncs();
  readonly #syncFolder = (path: string) => this.#folders.sync(path);
  readonly #buffers = new ReadBuffers();
  /** Puts that run, so that two of the same digest write once. */
  readonly #puts = new Map<Digest, Promise<boolean>>();
  /** One set per scan that runs: what was put since it began. */
  readonly #scans = new Set<Set<Digest>>();

  constructor(options: BlobStoreOptions) {
    this.#layout = options.layout;
    this.#observer = options.observer;
  }

  /** Open readers of held files: mostly answers to clients. */
  get readers(): number {
    return this.#buffers.count;
  }

  /** Undefined: not held. The caller closes what it gets. Errors: `StoreError` open. */
  async open(digest: Digest): Promise<HeldBlob | undefined> {
    const handle = await guardDisk(this.#observer, 'open', () => openIfThere(this.#layout.blobPath(digest)));
    if (handle === undefined) return undefined;
    try {
      const found = await guardDisk(this.#observer, 'open', () => handle.stat());
      if (!isHollow(digest, found.size)) {
        return HeldBlob.over(handle, found, { observer: this.#observer, buffers: this.#buffers });
      }
    } catch (error) {
      await handle.close();
      throw error;
    }
    await handle.close();
    return undefined;
  }

  /** Bytes; undefined: not held. Errors: `StoreError` open. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    const size = await guardDisk(this.#observer, 'open', () => sizeIfThere(this.#layout.blobPath(digest)));
    return size === undefined || isHollow(digest, size) ? undefined : size;
  }

  /**
   * Stores bytes that the caller has verified against `digest`. Idempotent; resolves with true when they are new here.
   * A file that has other bytes is replaced.
   * Errors: `StoreError` write, sync or rename; no file is left then.
   */
  async put(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const running = this.#puts.get(digest);
    if (running !== undefined) {
      await running;
      return false;
    }
    const put = this.#put(digest, bytes).finally(() => this.#puts.delete(digest));
    this.#puts.set(digest, put);
    return put;
  }

  /**
   * A finished ingest gets its name: syncs the part file through `handle` (which stays the caller's), renames it, syncs the folder, removes
   * the journal. The caller has verified size and digest. A folder that can't be synced is only reported: the blob is in its place, and if a
   * power cut takes the name away it is fetched again. Errors: `StoreError` sync or rename; part and journal are still there then.
   */
  async commit(digest: Digest, handle: FileHandle): Promise<void> {
    await guardDisk(this.#observer, 'sync', () => handle.datasync());
    const path = this.#layout.blobPath(digest);
    const name = () => renameDurably(this.#observer, this.#layout.partPath(digest), path, this.#syncFolder);
    await this.#overOdd(path, name).catch(ignoreFolderSync);
    // The next start sweeps a journal without a part: no reason to fail a commit that has happened.
    await this.#unlink(this.#layout.journalPath(digest)).catch(() => undefined);
  }

  /**
   * The file of an upload gets its name, as in `commit`; but an answer promises it, so a folder that can't be synced is an error. The blob is
   * in its place then, and `syncName` may be tried again. The caller has verified it. Errors: `StoreError` sync or rename.
   */
  async commitUpload(digest: Digest, handle: FileHandle, uploadPath: string): Promise<void> {
    await guardDisk(this.#observer, 'sync', () => handle.datasync());
    const path = this.#layout.blobPath(digest);
    await this.#overOdd(path, () => renameDurably(this.#observer, uploadPath, path, this.#syncFolder));
  }

  /** Makes the name of a held blob durable, before a link promises it. Errors: `StoreError` sync. */
  async syncName(digest: Digest): Promise<void> {
    await guardDisk(this.#observer, 'sync', () => this.#syncFolder(dirname(this.#layout.blobPath(digest))));
  }

  /** Resolves with the bytes freed: 0 when it was not held. Open readers go on. Errors: `StoreError` unlink. */
  async remove(digest: Digest): Promise<number> {
    const path = this.#layout.blobPath(digest);
    const found = await guardDisk(this.#observer, 'unlink', () => lstat(path).catch(ignoreMissing));
    if (found === undefined) return 0;
    return (await this.#unlink(path)) ? found.size : 0;
  }

  /**
   * Every held blob, in no order, except those that `put` writes from the first `next` on: their writer counts them. Waits for `after`
   * before the first look at the disk. Leaves out foreign names, and folders that can't be read, which are reported. Errors: those of `after`.
   */
  async *scan(after?: Promise<unknown>): AsyncGenerator<ScannedBlob> {
    const putSince = new Set<Digest>();
    this.#scans.add(putSince);
    try {
      await after;
      for await (const blob of this.#scanFolders()) {
        if (!putSince.has(blob.digest) && !isHollow(blob.digest, blob.size)) yield blob;
      }
    } finally {
      this.#scans.delete(putSince);
    }
  }

  /** Keeps the last use on disk, as mtime, from which a lost LRU index is rebuilt. Not held: nothing. Errors: `StoreError` write. */
  async setLastUse(digest: Digest, lastUseMs: number): Promise<void> {
    await this.#setTimes(digest, ({ atimeMs }) => [atimeMs / 1000, lastUseMs / 1000]);
  }

  /** Keeps when a held blob was last compared with its digest, as atime (see `verifiedMsOf`). Errors: `StoreError` write. */
  async setVerified(digest: Digest, verifiedMs: number): Promise<void> {
    await this.#setTimes(digest, ({ mtimeMs }) => [markSeconds(verifiedMs), mtimeMs / 1000]);
  }

  /** Of the disk under DATA, in bytes, as an ordinary user sees it. Errors: `StoreError` open. */
  async freeBytes(): Promise<{ free: number; total: number }> {
    const found = await guardDisk(this.#observer, 'open', () => statfs(this.#layout.path));
    return { free: found.bavail * found.bsize, total: found.blocks * found.bsize };
  }

  async #put(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const isHeld = (await this.sizeOf(digest)) === bytes.length;
    if (isHeld && (await this.#hasBytes(digest, bytes))) return false;
    for (const putSince of this.#scans) putSince.add(digest); // before the file has its name
    try {
      const path = this.#layout.blobPath(digest);
      const write = () =>
        writeDurably(this.#observer, this.#layout.tempPath(), path, bytes, undefined, this.#syncFolder);
      await this.#overOdd(path, write);
    } catch (error) {
      // As with `commit`: a blob that has its name is held, and must be counted.
      if ((await this.sizeOf(digest).catch(() => undefined)) !== bytes.length) throw error;
    }
    return !isHeld;
  }

  /** A damaged file of the right length is written again. */
  async #hasBytes(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    const held = await this.open(digest).catch(ignoreStoreError);
    if (held === undefined) return false;
    const found = Buffer.alloc(bytes.length);
    try {
      return (await held.read(found, 0)) === bytes.length && found.equals(bytes);
    } catch (error) {
      return ignoreStoreError(error) ?? false;
    } finally {
      await held.close();
    }
  }

  /** A rename replaces a FIFO or a symlink in a blob's place, but not a folder: that is moved away first. */
  async #overOdd(path: string, write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      if (!isOdd(error)) throw error;
      await guardDisk(this.#observer, 'rename', () => moveOdd(path, this.#layout.tempPath()));
      await write();
    }
  }

  async *#scanFolders(): AsyncGenerator<ScannedBlob> {
    for (const algorithm of ['sha256', 'sha512']) {
      const root = join(this.#layout.blobsFolder, algorithm);
      for (const prefix of await this.#list(root)) {
        const folder = join(root, prefix);
        const names = (await this.#list(folder)).filter(hex => hex.startsWith(prefix));
        for (let i = 0; i < names.length; i += statsAtOnce) {
          const chunk = names.slice(i, i + statsAtOnce);
          const found = await Promise.all(
            chunk.map(hex => this.#look(join(folder, hex), `${algorithm}:${hex}`)),
          );
          for (const blob of found) if (blob !== undefined) yield blob;
        }
      }
    }
  }

  /** A folder that can't be read costs its blobs their place in the count, not the whole scan. */
  async #list(folder: string): Promise<string[]> {
    return readdir(folder).catch(error => {
      if (!isMissing(error)) this.#observer.storeError('scan');
      return [];
    });
  }

  async #look(path: string, digest: string): Promise<ScannedBlob | undefined> {
    if (!isDigest(digest)) return undefined;
    try {
      const found = await lstat(path);
      return found.isFile() ? { digest, size: found.size, mtimeMs: found.mtimeMs } : undefined;
    } catch (error) {
      if (!isMissing(error)) this.#observer.storeError('scan');
      return undefined;
    }
  }

  /** Both times can only be set together, so the other one is read first. Two calls at the same time may lose one. */
  async #setTimes(digest: Digest, times: (found: Stats) => readonly [number, number]): Promise<void> {
    const path = this.#layout.blobPath(digest);
    await guardDisk(this.#observer, 'write', async () => {
      const found = await lstat(path).catch(ignoreMissing);
      if (found?.isFile() === true) await utimes(path, ...times(found)).catch(ignoreMissing);
    });
  }

  async #unlink(path: string): Promise<boolean> {
    return guardDisk(this.#observer, 'unlink', async () => {
      const removed = unlink(path).then(() => true);
      return (await removed.catch(ignoreMissing)) ?? false;
    });
  }
}

/**
 * A file that a power cut left empty in spite of the sync (disks that lie about it do so). It counts as not held, and the next commit
 * replaces it.
 */
function isHollow(digest: Digest, size: number): boolean {
  return size === 0 && digest !== digestOf(new Uint8Array(), algorithmOf(digest));
}

/** It can't be read, and is reported: writing it anew is all that helps. */
function ignoreStoreError(error: unknown): undefined {
  if (!(error instanceof StoreError)) throw error;
}

/** For `renameDurably`: its sync comes after the rename. */
function ignoreFolderSync(error: unknown): void {
  if (!(error instanceof StoreError) || error.operation !== 'sync') throw error;
}

/** Reading must not change the atime, which is our mark; the kernel allows that flag to the owner of a file only. */
const carefully = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const quietly = carefully | (constants.O_NOATIME ?? 0);

function openIfThere(path: string): Promise<FileHandle | undefined> {
  const opening = open(path, quietly).catch(error => {
    if (systemCodeOf(error) !== 'EPERM') throw error;
    return open(path, carefully);
  });
  return opening.catch(ignoreMissing);
}

async function sizeIfThere(path: string): Promise<number | undefined> {
  const found = await lstat(path).catch(ignoreMissing);
  return found?.isFile() === true ? found.size : undefined;
}
