/**
 * Verified bytes under their digest. A file has its name here only after its bytes were verified and synced, so what this
 * class opens was right when it was stored. It knows no repository, no recency and no limit: those are records, lru/ and
 * capacity. Whether a blob is a local path is nobody's business above.
 */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, stat, statfs, unlink, utimes } from 'node:fs/promises';
import { type Digest, digestOf } from '../../oci/digest.ts';
import { renameDurably, writeDurably } from '../durable.ts';
import type { StoreLayout } from '../layout.ts';
import { guardDisk, isMissing, StoreError, type StoreObserver, systemCodeOf } from '../store-error.ts';
import { type ScannedBlob, scanBlobs } from './blob-scan.ts';
import { HeldBlob } from './held-blob.ts';
import { ReadBuffers } from './read-buffers.ts';
import { markSeconds } from './verified-mark.ts';

export interface BlobStoreOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
}

export class BlobStore {
  readonly #layout: StoreLayout;
  readonly #observer: StoreObserver;
  readonly #buffers = new ReadBuffers();
  /** Puts that run, so that two of the same digest write once. */
  readonly #puts = new Map<Digest, Promise<boolean>>();
  /** One set per scan that runs: what was put since it began. */
  readonly #scans = new Set<Set<Digest>>();

  constructor(options: BlobStoreOptions) {
    this.#layout = options.layout;
    this.#observer = options.observer;
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
    return guardDisk(this.#observer, 'open', async () => {
      try {
        const { size } = await stat(this.#layout.blobPath(digest));
        return isHollow(digest, size) ? undefined : size;
      } catch (error) {
        if (isMissing(error)) return undefined;
        throw error;
      }
    });
  }

  /**
   * Stores bytes that the caller has verified against `digest`. Idempotent; resolves with true when they are new here.
   * Errors: `StoreError` write, sync or rename; nothing is left behind then.
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
   * A finished ingest gets its name: syncs the part file through `handle` (which stays the caller's), renames it, syncs
   * the folder, drops the journal. The caller has verified size and digest. A folder that can't be synced is reported, and
   * no more: the blob is in its place, and if a power cut takes the name away again it is fetched again.
   * Errors: `StoreError` sync or rename; part and journal are still there then.
   */
  async commit(digest: Digest, handle: FileHandle): Promise<void> {
    await guardDisk(this.#observer, 'sync', () => handle.datasync());
    const path = this.#layout.blobPath(digest);
    await renameDurably(this.#observer, this.#layout.partPath(digest), path).catch(ignoreFolderSync);
    // A journal without a part is swept at the next start: not worth failing a commit that has happened.
    await this.#unlink(this.#layout.journalPath(digest)).catch(() => undefined);
  }

  /** Resolves with the bytes freed: 0 when it was not held. Open readers go on. Errors: `StoreError` unlink. */
  async remove(digest: Digest): Promise<number> {
    const path = this.#layout.blobPath(digest);
    const size = await guardDisk(this.#observer, 'unlink', () => sizeIfThere(path));
    if (size === undefined) return 0;
    return (await this.#unlink(path)) ? size : 0;
  }

  /**
   * Every held blob, in no order, except what `put` writes from the first `next` on: who puts counts it. `after` is waited
   * for before the first look at the disk. Files with foreign names are passed over; so are folders that can't be read,
   * which are reported. Errors: those of `after`.
   */
  async *scan(after?: Promise<unknown>): AsyncGenerator<ScannedBlob> {
    const putSince = new Set<Digest>();
    this.#scans.add(putSince);
    try {
      await after;
      for await (const blob of scanBlobs(this.#layout, this.#observer)) {
        if (!putSince.has(blob.digest) && !isHollow(blob.digest, blob.size)) yield blob;
      }
    } finally {
      this.#scans.delete(putSince);
    }
  }

  /** Keeps the last use on disk, as mtime, for the day the LRU index is lost. Not held: nothing. Errors: `StoreError` write. */
  async setLastUse(digest: Digest, lastUseMs: number): Promise<void> {
    await this.#setTimes(digest, ({ atimeMs }) => [atimeMs / 1000, lastUseMs / 1000]);
  }

  /** Keeps when a held blob was last compared with its digest, as atime (see verified-mark.ts). Errors: `StoreError` write. */
  async setVerified(digest: Digest, verifiedMs: number): Promise<void> {
    await this.#setTimes(digest, ({ mtimeMs }) => [markSeconds(verifiedMs), mtimeMs / 1000]);
  }

  /** Of the disk under DATA, in bytes, as an ordinary user sees it. Errors: `StoreError` open. */
  async freeBytes(): Promise<{ free: number; total: number }> {
    const found = await guardDisk(this.#observer, 'open', () => statfs(this.#layout.path));
    return { free: found.bavail * found.bsize, total: found.blocks * found.bsize };
  }

  async #put(digest: Digest, bytes: Uint8Array): Promise<boolean> {
    if ((await this.sizeOf(digest)) === bytes.length) return false;
    for (const putSince of this.#scans) putSince.add(digest); // before the file has its name
    try {
      await writeDurably(this.#observer, this.#layout.tempPath(), this.#layout.blobPath(digest), bytes);
    } catch (error) {
      // As with `commit`: what has its name is held, and has to be counted.
      if ((await this.sizeOf(digest).catch(() => undefined)) !== bytes.length) throw error;
    }
    return true;
  }

  /** Both times at once is all that can be set, so the other one is read first. Two at the same time may lose one. */
  async #setTimes(digest: Digest, times: (found: Stats) => readonly [number, number]): Promise<void> {
    const path = this.#layout.blobPath(digest);
    await guardDisk(this.#observer, 'write', async () => {
      try {
        await utimes(path, ...times(await stat(path)));
      } catch (error) {
        if (!isMissing(error)) throw error;
      }
    });
  }

  async #unlink(path: string): Promise<boolean> {
    return guardDisk(this.#observer, 'unlink', async () => {
      try {
        await unlink(path);
        return true;
      } catch (error) {
        if (isMissing(error)) return false;
        throw error;
      }
    });
  }
}

/**
 * Some file systems bring back an empty file after a power cut in spite of the sync (a lying disk). One look at the size
 * is free and tells; it is taken as not held, and the next commit replaces it.
 */
function isHollow(digest: Digest, size: number): boolean {
  return (
    size === 0 && digest !== digestOf(new Uint8Array(), digest.startsWith('sha512:') ? 'sha512' : 'sha256')
  );
}

/** Of `renameDurably`, whose rename comes first. */
function ignoreFolderSync(error: unknown): void {
  if (!(error instanceof StoreError) || error.operation !== 'sync') throw error;
}

/** Without a new atime, which is ours; the kernel lets only the owner of a file ask for that. */
const quietly = constants.O_RDONLY | (constants.O_NOATIME ?? 0);

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, quietly).catch(error => {
      if (systemCodeOf(error) !== 'EPERM') throw error;
      return open(path, 'r');
    });
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function sizeIfThere(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
