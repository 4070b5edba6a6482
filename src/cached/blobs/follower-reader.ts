/**
 * The readers of a cold blob's clients. A `FollowerReader` follows a running download; when the store has no room it drains
 * what the ingest holds and goes on as a `PassthroughReader`, straight from the source. The client sees one body, and no head
 * of it without a byte.
 */
import type { Hash } from 'node:crypto';
import { waitFor } from '../../lib/wait.ts';
import { algorithmOf, type Digest, finishDigest } from '../../oci/digest.ts';
import type { BlobReader } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import { type Follower, verifyFirstBytes } from '../../store/ingest/follower.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import { MismatchError, NoRoomError } from '../../store/store-error.ts';
import type { Observer } from '../../telemetry/observer.ts';
import type { Chunk } from '../download/resume.ts';
import type { OwnQueue } from '../download/waiters.ts';

export interface FollowerReaderOptions {
  readonly follower: Follower;
  readonly digest: Digest;
  readonly upstream: string;
  readonly observer: Observer;
  /** `promised`: the length that the client was told, in bytes. */
  continueFrom(room: NoRoomError, at: number, promised: number | undefined): PassthroughReader;
  onClose?(): void;
}

export class FollowerReader implements BlobReader {
  readonly #follower: Follower;
  readonly #options: FollowerReaderOptions;
  #passthrough: PassthroughReader | undefined;
  #promised: number | undefined;
  #closed = false;

  constructor(options: FollowerReaderOptions) {
    this.#follower = options.follower;
    this.#options = options;
    options.observer.followerJoined(options.upstream);
  }

  get preferredBytes(): number {
    return this.#follower.preferredBytes;
  }

  /** The client is told this length, in bytes: bytes of a blob of another one are an error from now on. */
  promise(size: number): void {
    this.#promised = size;
    this.#follower.promise(size);
  }

  async read(into: Buffer, at: number): Promise<number> {
    if (this.#passthrough !== undefined) return this.#passthrough.read(into, at);
    try {
      return await this.#follower.read(into, at);
    } catch (error) {
      if (!(error instanceof NoRoomError) || this.#closed) throw this.#explain(error);
      this.#passthrough = this.#continueFrom(error, at);
      await this.#follower.close();
      return this.#passthrough.read(into, at);
    }
  }

  peek(at: number, maxBytes: number): Buffer | undefined {
    if (this.#passthrough !== undefined) return undefined;
    try {
      return this.#follower.peek(at, maxBytes);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async arrival(at: number): Promise<void> {
    if (this.#passthrough !== undefined) return;
    try {
      await this.#follower.arrival(at);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const { observer, upstream } = this.#options;
    observer.followerLeft(upstream);
    this.#options.onClose?.();
    await this.#follower.close();
    await this.#passthrough?.close();
  }

  #continueFrom(room: NoRoomError, at: number): PassthroughReader {
    const promised = this.#promised ?? room.size;
    if (room.size !== undefined && room.size !== promised)
      throw this.#explain(new MismatchError(this.#options.digest));
    return this.#options.continueFrom(room, at, promised);
  }

  /** What the download ended with, as an error that may become an answer when no byte has gone out. */
  #explain(error: unknown): unknown {
    return error instanceof MismatchError ? wrongBytes(this.#options.upstream, error) : error;
  }
}

export interface PassthroughReaderOptions {
  readonly digest: Digest;
  /** From the offset that `hash` stands at, or (unverified) from the range's first byte. */
  readonly chunks: AsyncGenerator<Chunk, void, void>;
  /** Undefined: a closed range that ends before the last byte; there is nothing to compare. */
  readonly hash: Hash | undefined;
  /** Of the whole blob; undefined while unknown. */
  size(): number | undefined;
  /** Ends the transfer. */
  abort(): void;
  /** Of the transfer. Absent: it has begun. */
  readonly queue?: OwnQueue;
  /** An error that it returns is thrown instead. */
  onMismatch(error: MismatchError): unknown;
}

/**
 * Like an ingest's follower, it gives out no byte of a blob up to `verifyFirstBytes`, and no last byte of a larger one,
 * before the digest is verified. It holds at most two network chunks of a larger blob.
 */
export class PassthroughReader implements BlobReader {
  readonly preferredBytes = 64 * 1024;
  readonly #options: PassthroughReaderOptions;
  readonly #ready: Chunk[] = [];
  #held: Chunk[] = [];
  #hasBegun = false;
  #ended = false;
  #closed = false;

  constructor(options: PassthroughReaderOptions) {
    this.#options = options;
  }

  /** Of the whole blob, in bytes; undefined while unknown. */
  get size(): number | undefined {
    return this.#options.size();
  }

  get queue(): OwnQueue | undefined {
    return this.#options.queue;
  }

  /** A byte has come from the source, whether it may be given out yet or not. */
  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Waits for the first bytes that may be given out, so that errors come before any header does. */
  async prime(): Promise<void> {
    while (this.#ready.length === 0 && !this.#ended) await this.#pull();
  }

  async read(into: Buffer, at: number): Promise<number> {
    for (;;) {
      if (this.#closed) throw new Error('the reader is closed');
      const chunk = this.#ready[0];
      if (chunk === undefined) {
        if (this.#ended) return 0;
        await this.#pull();
        continue;
      }
      const skip = at - chunk.at;
      if (skip < 0) throw new Error(`cannot read at ${at}, before ${chunk.at}: reads go forward`);
      if (skip >= chunk.bytes.length) {
        this.#ready.shift();
        continue;
      }
      return chunk.bytes.copy(into, 0, skip);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.abort();
    await this.#options.chunks.return();
  }

  async #pull(): Promise<void> {
    const { digest, chunks, hash } = this.#options;
    const { done, value } = await chunks.next();
    this.#hasBegun = true;
    if (done === true) {
      if (hash !== undefined && finishDigest(algorithmOf(digest), hash) !== digest) {
        const error = new MismatchError(digest);
        const explained = this.#options.onMismatch(error);
        throw explained instanceof Error ? explained : error;
      }
      this.#ready.push(...this.#held);
      this.#held = [];
      this.#ended = true;
      return;
    }
    hash?.update(value.bytes);
    const known = this.#options.size();
    const seen = value.at + value.bytes.length;
    if (hash === undefined) {
      this.#ready.push(value);
    } else if ((known ?? seen) <= verifyFirstBytes) {
      this.#held.push(value);
    } else {
      this.#ready.push(...this.#held);
      this.#held = [value];
    }
  }
}

/** The upstream's bytes were wrong, and none has gone out: the blob can't be had. */
export function wrongBytes(upstream: string, cause: MismatchError): UpstreamError {
  return new UpstreamError({ upstream, kind: 'blob', failure: 'mismatch', message: cause.message, cause });
}

export interface FirstByteOptions {
  readonly upstream: string;
  /** When the time is over: on the clock of `performance.now()`. */
  readonly endsAtMs: number;
  readonly signal: AbortSignal;
  /** Of the transfers that bring the byte: the time stands still while they wait there. */
  readonly queue: OwnQueue;
  /** The request for these bytes has failed, and says why by itself. */
  hasFailed?(): boolean;
}

/**
 * No head without a byte: a client that has headers stays with this mirror, however long the body takes, and never asks its
 * next source. So a cold blob is answered once bytes come, and is 404 when none has come within `first_byte`.
 * Resolves when a byte at `at` is on disk, when bytes come for a download that is still on its way there, or when the ingest has ended.
 * Errors: UpstreamError timeout; the signal's reason.
 */
export async function awaitFirstByte(ingest: Ingest, at: number, options: FirstByteOptions): Promise<void> {
  const { upstream, endsAtMs, signal, queue, hasFailed } = options;
  const heldBefore = ingest.heldBytes;
  let isLate = false;
  const clock = new FirstByteClock(endsAtMs - performance.now(), queue, () => {
    isLate = true;
    ingest.wake();
  });
  try {
    for (;;) {
      if (ingest.verified || ingest.failure !== undefined || hasFailed?.() === true) return;
      if (ingest.gapFrom(at).start > at || (at > 0 && ingest.heldBytes > heldBefore)) return;
      if (isLate) throw silent(upstream, ingest.digest);
      await waitFor(ingest.change, signal);
    }
  } finally {
    clock.stop();
  }
}

/** The time that an upstream has for the first byte. It stands still while the transfers wait in a queue of this mirror's own. */
export class FirstByteClock {
  readonly #queue: OwnQueue | undefined;
  readonly #onLate: () => void;
  readonly #unwatch: (() => void) | undefined;
  #leftMs: number;
  #startedAtMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(leftMs: number, queue: OwnQueue | undefined, onLate: () => void) {
    this.#leftMs = leftMs;
    this.#queue = queue;
    this.#onLate = onLate;
    this.#unwatch = queue?.watch(() => this.#update());
    this.#update();
  }

  /** Idempotent. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#unwatch?.();
  }

  #update(): void {
    const nowMs = performance.now();
    if (this.#timer !== undefined) this.#leftMs -= nowMs - this.#startedAtMs;
    clearTimeout(this.#timer);
    this.#startedAtMs = nowMs;
    const isQueued = this.#queue?.isWaiting === true;
    this.#timer = isQueued ? undefined : setTimeout(this.#onLate, Math.max(0, this.#leftMs));
  }
}

export function silent(upstream: string, digest: string): UpstreamError {
  const message = `${upstream} sent no byte of ${digest} in time`;
  return new UpstreamError({ upstream, kind: 'blob', failure: 'timeout', message });
}
