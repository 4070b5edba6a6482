/**
 * One held file, open for reading: a `BlobReader` of the registry contract. It costs one open, one fstat, and one read per buffer.
 * A blob that is evicted meanwhile stays readable through this handle. And what a held file's times say, written late and together.
 */
import type { Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { guardDisk, StoreError, type StoreObserver } from '../store-error.ts';

const largestBufferBytes = 512 * 1024;
const smallestBufferBytes = 64 * 1024;
const allBuffersBytes = 32 * 1024 * 1024;
/** Binary fractions of a second go through every layer unchanged. */
const markMs = 625;

/** A descriptor and how many read through it. */
interface SharedHandle {
  readonly handle: FileHandle;
  readonly buffers: ReadBuffers;
  users: number;
}

export class HeldBlob {
  readonly preferredBytes: number;
  /** Bytes. */
  readonly size: number;
  /** Last use as known to the disk: milliseconds since the epoch. */
  readonly mtimeMs: number;
  /** When its bytes were last compared with the digest: milliseconds since the epoch; 0: not known. */
  readonly verifiedMs: number;
  /** False for a folder in its place, for instance. */
  readonly isFile: boolean;
  readonly #shared: SharedHandle;
  readonly #found: Stats;
  readonly #observer: StoreObserver;
  #reading: Promise<unknown> | undefined;
  #closing: Promise<void> | undefined;

  /** Takes the handle over. */
  static over(
    handle: FileHandle,
    found: Stats,
    { observer, buffers }: { readonly observer: StoreObserver; readonly buffers: ReadBuffers },
  ): HeldBlob {
    return new HeldBlob({ handle, buffers, users: 1 }, found, observer);
  }

  private constructor(shared: SharedHandle, found: Stats, observer: StoreObserver) {
    this.preferredBytes = shared.buffers.enter();
    this.#shared = shared;
    this.#found = found;
    this.size = found.size;
    this.mtimeMs = found.mtimeMs;
    this.verifiedMs = verifiedMsOf(found);
    this.isFile = found.isFile();
    this.#observer = observer;
  }

  /** A later file under the same name has another id. */
  get fileId(): string {
    return fileIdOf(this.#found);
  }

  /** Another reader of the same file, closed by itself. Errors: `StoreError` read, CLOSED. */
  share(): HeldBlob {
    this.#throwIfClosed();
    this.#shared.users += 1;
    return new HeldBlob(this.#shared, this.#found, this.#observer);
  }

  /**
   * Fills `into` from offset `at`; resolves with the count, 0 only at the end of the blob.
   * Errors: `StoreError` read: EIO and its like, TRUNCATED, CLOSED.
   */
  async read(into: Buffer, at: number): Promise<number> {
    this.#throwIfClosed();
    const wanted = Math.min(into.length, this.size - at);
    if (wanted <= 0) return 0;
    let count = 0;
    while (count < wanted) {
      const bytesRead = await this.#readOnce(into, count, wanted - count, at + count);
      this.#throwIfClosed();
      if (bytesRead === 0) throw this.#truncated(at + count);
      count += bytesRead;
    }
    return count;
  }

  /** Idempotent. Waits for a read that runs, which is then rejected. */
  close(): Promise<void> {
    this.#closing ??= this.#leave();
    return this.#closing;
  }

  async #readOnce(into: Buffer, from: number, length: number, at: number): Promise<number> {
    const reading = this.#shared.handle.read(into, from, length, at);
    this.#reading = reading;
    const { bytesRead } = await guardDisk(this.#observer, 'read', () => reading);
    return bytesRead;
  }

  /** The last one closes the descriptor, which waits for reads by itself. */
  async #leave(): Promise<void> {
    this.#shared.buffers.leave();
    this.#shared.users -= 1;
    if (this.#shared.users === 0) return this.#shared.handle.close();
    await this.#reading?.catch(() => undefined); // after this the buffer is the caller's again
  }

  #throwIfClosed(): void {
    if (this.#closing !== undefined)
      throw new StoreError('read', 'CLOSED', 'the blob was closed while it was read');
  }

  #truncated(at: number): StoreError {
    this.#observer.storeError('read');
    return new StoreError('read', 'TRUNCATED', `the file ends at ${at} instead of ${this.size}`);
  }
}

/** An inode alone may be given to the next file once this one is gone. */
export function fileIdOf({ ino, birthtimeMs }: Pick<Stats, 'ino' | 'birthtimeMs'>): string {
  return `${ino} ${birthtimeMs}`;
}

/** The buffer of each of so many readers that have so many bytes together: a power of two, within the bounds of one. */
export function bufferShare(allBytes: number, readers: number): number {
  const share = 2 ** Math.floor(Math.log2(allBytes / Math.max(1, readers)));
  return Math.max(smallestBufferBytes, Math.min(largestBufferBytes, share));
}

/**
 * The buffer size of each reader of a held blob. Large reads cost less CPU per byte (512 KiB a quarter less than 256; more gains nothing),
 * but a thousand slow clients must not hold a thousand of those: all readers together get 32 MiB, and each at least 64 KiB.
 */
export class ReadBuffers {
  #readers = 0;

  get count(): number {
    return this.#readers;
  }

  /** One reader more. Its buffer in bytes: a power of two. */
  enter(): number {
    this.#readers += 1;
    return bufferShare(allBuffersBytes, this.#readers);
  }

  /** To be called once for each `enter`. */
  leave(): void {
    this.#readers -= 1;
  }
}

/** Both in milliseconds since the epoch; 0: the file system doesn't know. */
export type FileTimes = Pick<Stats, 'atimeMs' | 'birthtimeMs'>;

/**
 * When a file was last verified: milliseconds since the epoch; 0: not known. The mark is an atime that ends in exactly 0.625 s. Any other
 * atime comes from a foreign reader; then the birth counts, because a file was verified when it was downloaded. So foreign readers, copies
 * and file systems with coarse times cost one more check, and never delay one.
 */
export function verifiedMsOf({ atimeMs, birthtimeMs }: FileTimes): number {
  return atimeMs % 1000 === markMs ? Math.max(atimeMs, birthtimeMs) : birthtimeMs;
}

/** The atime that marks it, in seconds as `utimes` takes them. */
export function markSeconds(verifiedMs: number): number {
  return Math.floor(verifiedMs / 1000) + markMs / 1000;
}

export interface LastUseWriterOptions {
  readonly store: {
    setLastUse(digest: Digest, ms: number): Promise<void>;
    setVerified(digest: Digest, ms: number): Promise<void>;
  };
  readonly lru: { touch(digest: Digest): void };
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

const everyMs = 30_000;
const filesAtOnce = 4;

/**
 * Writes the last use and the last verification of blobs to the times of their files, from which a lost LRU index is rebuilt. Both are
 * collected and written every 30 s, a few files at a time, so a hit costs no disk write.
 */
export class LastUseWriter {
  readonly #options: LastUseWriterOptions;
  readonly #timer: NodeJS.Timeout;
  #touched = new Map<Digest, number>();
  #verified = new Map<Digest, number>();
  #running: Promise<void> = Promise.resolve();

  constructor(options: LastUseWriterOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.flush(), everyMs).unref();
  }

  /** In the LRU index at once. Synchronous, no I/O. It may be handed on by itself. */
  readonly touch = (digest: Digest): void => {
    this.#options.lru.touch(digest);
    this.#touched.set(digest, this.#options.now());
  };

  /** Its bytes were just compared with its digest. Synchronous, no I/O. */
  verified(digest: Digest): void {
    this.#verified.set(digest, this.#options.now());
  }

  /** Resolves when everything noted so far is written. Never throws. */
  flush(): Promise<void> {
    const { store } = this.#options;
    const touched = this.#touched;
    const verified = this.#verified;
    this.#touched = new Map();
    this.#verified = new Map();
    this.#running = this.#running
      .then(() => this.#write(touched, 'last uses', (digest, ms) => store.setLastUse(digest, ms)))
      .then(() => this.#write(verified, 'verifications', (digest, ms) => store.setVerified(digest, ms)));
    return this.#running;
  }

  /** Idempotent. */
  close(): Promise<void> {
    clearInterval(this.#timer);
    return this.flush();
  }

  async #write(
    times: ReadonlyMap<Digest, number>,
    what: string,
    set: (digest: Digest, ms: number) => Promise<void>,
  ): Promise<void> {
    let failed = 0;
    const left = times.entries();
    const write = async () => {
      for (const [digest, ms] of left) {
        await set(digest, ms).catch(() => {
          failed += 1; // the store reports each; here they make one log line
        });
      }
    };
    await Promise.all(Array.from({ length: filesAtOnce }, write));
    if (failed > 0) this.#options.logger.warn(`${what} could not be written`, { failed, of: times.size });
  }
}
