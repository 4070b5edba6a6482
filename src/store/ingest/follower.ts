/**
 * The readers of an ingest. Each has its own offset, so a slow client delays no other one and a late one starts at once; it holds no buffer
 * (the caller hands one in). All share one descriptor, which the last user closes.
 */
import type { FileHandle } from 'node:fs/promises';
import type { Digest } from '../../oci/digest.ts';
import { bufferShare } from '../blobs/held-blob.ts';
import { MismatchError, StoreError } from '../store-error.ts';

/** Of the followers of one ingest. */
const allBuffersBytes = 16 * 1024 * 1024;

/** The ingest as its followers see it. */
export interface Followed {
  readonly digest: Digest;
  /** Grows at each restart. */
  readonly generation: number;
  /** Of the whole blob, in bytes; undefined while unknown, also between two tries. */
  readonly size: number | undefined;
  readonly verified: boolean;
  readonly failure: Error | undefined;
  readonly followers: number;
  /** Bytes from `at` up to this offset may be given out; `at` or less: none yet. */
  readableFrom(at: number): number;
  /** Bytes at `at` that are in memory, and never change. */
  inMemory(at: number): Buffer | undefined;
  /** Bytes from `at` up to this offset are on disk: beyond it the file may have a hole. */
  writtenFrom(at: number): number;
  /** Resolves at the next change of any of this, or at a `wake`. */
  readonly change: Promise<void>;
  /** All who wait check again. */
  wake(): void;
}

export interface FollowerEvents {
  /** The follower has given out its first bytes. */
  touched(): void;
  /** It no longer uses the shared descriptor. */
  left(touched: boolean): Promise<void>;
}

export class Follower {
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

  constructor(ingest: Followed, handle: FileHandle, events: FollowerEvents) {
    this.#ingest = ingest;
    this.#handle = handle;
    this.#events = events;
    this.#generation = ingest.generation;
  }

  /**
   * Small where there are many, because this buffer is all that a slow client costs. With a few, one that has fallen behind the bytes in
   * memory needs large steps to come up to them again. Bytes: a power of two.
   */
  get preferredBytes(): number {
    return bufferShare(allBuffersBytes, this.#ingest.followers);
  }

  /** The size that its client was told: a try that finds another size fails for this follower. */
  promise(size: number): void {
    this.#promised = size;
  }

  /** It waits no longer for bytes; those on disk can still be read. */
  stop(reason: Error): void {
    this.#stopReason ??= reason;
    this.#ingest.wake();
  }

  /**
   * Waits for bytes from `at` on. Resolves 0 at the verified end.
   * Errors: MismatchError, NoRoomError, or the reason why the ingest or this follower was stopped.
   */
  async read(into: Buffer, at: number): Promise<number> {
    for (;;) {
      const inMemory = this.peek(at, into.length);
      if (inMemory !== undefined) return inMemory.copy(into);
      const ingest = this.#ingest;
      const limit = this.#limitFrom(at);
      if (at < limit) {
        const bytesRead = await this.#pread(
          into,
          Math.min(into.length, Math.min(limit, ingest.writtenFrom(at)) - at),
          at,
        );
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
        await ingest.change;
      }
    }
  }

  /** As `BlobReader.arrival`. */
  async arrival(at: number): Promise<void> {
    const ingest = this.#ingest;
    while (at >= this.#limitFrom(at) && !ingest.verified && ingest.failure === undefined) {
      if (this.#stopReason !== undefined) return;
      await ingest.change;
    }
  }

  /** As `BlobReader.peek`. */
  peek(at: number, maxBytes: number): Buffer | undefined {
    const limit = this.#limitFrom(at);
    const inMemory = at < limit ? this.#ingest.inMemory(at) : undefined;
    if (inMemory === undefined) return undefined;
    if (!this.#delivered) this.#events.touched();
    this.#delivered = true;
    const length = Math.min(maxBytes, limit - at);
    return inMemory.length <= length ? inMemory : inMemory.subarray(0, length);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#ingest.wake(); // a read of its own may wait
    if (!this.#reading) await this.#leaveOnce();
  }

  /** Bytes from `at` up to this offset may be given out. Errors: MismatchError; this follower was closed. */
  #limitFrom(at: number): number {
    if (this.#closed) throw new Error('the follower is closed');
    this.#checkGeneration();
    const { size } = this.#ingest;
    if (this.#promised === undefined || this.#promised === size) return this.#ingest.readableFrom(at);
    if (size !== undefined) throw new MismatchError(this.#ingest.digest);
    return 0;
  }

  /** This follower stays a user while it reads, so that the shared descriptor isn't closed under it. */
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

/** Counts the users of the shared descriptor: the opener and each follower; and the followers that have given out bytes. */
export class IngestUsers {
  readonly #onFollowers: (count: number) => void;
  readonly #onLast: () => Promise<void>;
  #users = 1;
  #followers = 0;
  #touched = 0;

  /** `onFollowers` gets the number of followers at each change; `onLast` is called when the last user has left. */
  constructor(onFollowers: (count: number) => void, onLast: () => Promise<void>) {
    this.#onFollowers = onFollowers;
    this.#onLast = onLast;
  }

  get isAny(): boolean {
    return this.#users > 0;
  }

  get followers(): number {
    return this.#followers;
  }

  /** A follower has not given out a byte yet. */
  get hasUntouchedFollower(): boolean {
    return this.#followers > this.#touched;
  }

  /** For one more follower. */
  join(): FollowerEvents {
    this.#users += 1;
    this.#followers += 1;
    this.#onFollowers(this.#followers);
    return {
      touched: () => {
        this.#touched += 1;
      },
      left: touched => {
        this.#followers -= 1;
        if (touched) this.#touched -= 1;
        this.#onFollowers(this.#followers);
        return this.release();
      },
    };
  }

  /** For the opener, and for each follower. */
  async release(): Promise<void> {
    this.#users -= 1;
    if (this.#users === 0) await this.#onLast();
  }
}

/** The file was cut from outside. A count of 0 would mean the end of the blob. */
function truncated(at: number, limit: number): StoreError {
  return new StoreError('read', 'TRUNCATED', `the file ends at ${at} instead of ${limit}`);
}

/** Blobs up to this size are verified before their first byte is given out (docs/behaviour.md, "A blob"). */
export const verifyFirstBytes = 1024 * 1024;

export interface Growth {
  /** Bytes below it are in the hash and on disk. */
  readonly front: number;
  /** Of the whole blob, in bytes; undefined while unknown. */
  readonly size: number | undefined;
  readonly verified: boolean;
}

/** All bytes below this offset may be given out. */
export function readableFront({ front, size, verified }: Growth): number {
  if (verified) return size ?? front;
  if ((size ?? front) <= verifyFirstBytes) return 0;
  return size === undefined ? front - 1 : Math.min(front, size - 1);
}

/** For an offset from which bytes up to `heldEnd` are on disk: one past the last that may be given out. */
export function readableEnd(growth: Growth, heldEnd: number): number {
  const front = readableFront(growth);
  const { size, verified } = growth;
  if (verified || size === undefined || size <= verifyFirstBytes) return front;
  return Math.max(front, Math.min(heldEnd, size - 1));
}
