/**
 * One held file, open for reading. It costs one open and one fstat, and then one read per buffer. A blob that is evicted
 * while somebody reads it stays readable through this handle. The shape is `BlobReader` of the registry contract, so a
 * held file and a growing one look alike to those who send them.
 */
import type { FileHandle } from 'node:fs/promises';
import { guardDisk, StoreError, type StoreObserver } from './store-error.ts';

/** Measured: from here on, larger reads no longer save CPU per byte. */
const preferredBytes = 256 * 1024;

export class HeldBlob {
  readonly preferredBytes = preferredBytes;
  /** Bytes. */
  readonly size: number;
  /** Last use as known to the disk: milliseconds since the epoch. */
  readonly mtimeMs: number;
  readonly #handle: FileHandle;
  readonly #observer: StoreObserver;
  #closing: Promise<void> | undefined;

  /** Takes the handle over. */
  constructor(
    handle: FileHandle,
    stat: { readonly size: number; readonly mtimeMs: number },
    observer: StoreObserver,
  ) {
    this.#handle = handle;
    this.size = stat.size;
    this.mtimeMs = stat.mtimeMs;
    this.#observer = observer;
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
      const from = count;
      const { bytesRead } = await guardDisk(this.#observer, 'read', () =>
        this.#handle.read(into, from, wanted - from, at + from),
      );
      this.#throwIfClosed();
      if (bytesRead === 0) throw this.#truncated(at + from);
      count += bytesRead;
    }
    return count;
  }

  /** Idempotent. Waits for a read that runs, which is then rejected. */
  close(): Promise<void> {
    this.#closing ??= this.#handle.close();
    return this.#closing;
  }

  #throwIfClosed(): void {
    if (this.#closing !== undefined)
      throw new StoreError('read', 'CLOSED', 'the blob was closed while it was read');
  }

  #truncated(at: number): StoreError {
    this.#observer.storeError('read');
    return new StoreError('read', 'TRUNCATED', `expected a file of ${this.size} bytes, got its end at ${at}`);
  }
}
