/**
 * One reader of an ingest. It has an offset of its own, so a slow client slows nobody and a late one starts at once;
 * it holds no buffer (the caller hands one in) and shares the ingest's descriptor.
 */
import type { FileHandle } from 'node:fs/promises';
import type { Digest } from '../../oci/digest.ts';
import { StoreError } from '../store-error.ts';
import { MismatchError } from './ingest-error.ts';

/** What a follower sees of its ingest. */
export interface Followed {
  readonly digest: Digest;
  /** Grows at each restart. */
  readonly generation: number;
  /** Of the whole blob, in bytes; undefined while unknown, also in between two tries. */
  readonly size: number | undefined;
  readonly verified: boolean;
  readonly failure: Error | undefined;
  /** Bytes from `at` to this offset may be given out; `at` or less: none yet. */
  readableFrom(at: number): number;
  nextChange(): { readonly changed: Promise<void>; cancel(): void };
}

export interface FollowerEvents {
  /** It has been given its first bytes. */
  touched(): void;
  /** It is done with the shared descriptor. */
  left(touched: boolean): Promise<void>;
}

export class Follower {
  /** Small: a follower's buffer is all that a slow client costs. */
  readonly preferredBytes = 64 * 1024;
  readonly #ingest: Followed;
  readonly #handle: FileHandle;
  readonly #events: FollowerEvents;
  #generation: number;
  #promised: number | undefined;
  #delivered = false;
  #closed = false;
  #reading = false;
  #left: Promise<void> | undefined;
  #stopReason: Error | undefined;
  #cancel: () => void = () => {};

  constructor(ingest: Followed, handle: FileHandle, events: FollowerEvents) {
    this.#ingest = ingest;
    this.#handle = handle;
    this.#events = events;
    this.#generation = ingest.generation;
  }

  /** A reader of this follower was told that the blob has so many bytes; a try that finds another length is not for it. */
  promise(size: number): void {
    this.#promised = size;
  }

  /** Nobody brings the bytes that it is to wait for: what is there can still be read. */
  stop(reason: Error): void {
    this.#stopReason ??= reason;
    this.#cancel();
  }

  /**
   * Waits until bytes from `at` on are there. Resolves 0 at the verified end.
   * Errors: MismatchError, NoRoomError, or the reason why the ingest was given up or this one stopped.
   */
  async read(into: Buffer, at: number): Promise<number> {
    for (;;) {
      if (this.#closed) throw new Error('the follower is closed');
      this.#checkGeneration();
      const ingest = this.#ingest;
      const isPromised = this.#promised === undefined || this.#promised === ingest.size;
      if (!isPromised && ingest.size !== undefined) throw new MismatchError(ingest.digest);
      const limit = isPromised ? ingest.readableFrom(at) : 0;
      if (at < limit) {
        const bytesRead = await this.#pread(into, Math.min(into.length, limit - at), at);
        if (!this.#closed && this.#generation === ingest.generation) {
          if (bytesRead === 0) throw truncated(at, limit);
          if (!this.#delivered) this.#events.touched();
          this.#delivered = true;
          return bytesRead;
        }
      } else if (ingest.verified) {
        return 0;
      } else if (ingest.failure !== undefined || this.#stopReason !== undefined) {
        throw this.#stopReason ?? ingest.failure;
      } else {
        const { changed, cancel } = ingest.nextChange();
        this.#cancel = cancel;
        await changed;
      }
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#cancel();
    if (!this.#reading) await this.#leaveOnce();
  }

  /** The shared descriptor may close with the last user: never while this one reads. */
  async #pread(into: Buffer, length: number, at: number): Promise<number> {
    this.#reading = true;
    try {
      const { bytesRead } = await this.#handle.read(into, 0, length, at);
      return bytesRead;
    } finally {
      this.#reading = false;
      if (this.#closed) await this.#leaveOnce();
    }
  }

  #leaveOnce(): Promise<void> {
    this.#left ??= this.#events.left(this.#delivered);
    return this.#left;
  }

  #checkGeneration(): void {
    if (this.#generation === this.#ingest.generation) return;
    if (this.#delivered) throw new MismatchError(this.#ingest.digest);
    this.#generation = this.#ingest.generation;
  }
}

/** Somebody else has cut the file: 0 would pass for the end of the blob. */
function truncated(at: number, limit: number): StoreError {
  return new StoreError(
    'read',
    'TRUNCATED',
    `expected bytes up to ${limit}, got the end of the file at ${at}`,
  );
}
