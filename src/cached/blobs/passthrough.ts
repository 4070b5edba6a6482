/**
 * A blob read from its sources for one client only, because the store has no room for it: the whole, one closed range, or
 * the rest of a download that met a full disk. The one place where a byte may come over the wire twice. A reader is primed:
 * what fails before the first byte fails before the headers.
 */
import type { Hash } from 'node:crypto';
import type { RecentMismatches } from '../../content/bad-blobs.ts';
import { waitFor } from '../../lib/wait.ts';
import { algorithmOf, createDigester, type Digest } from '../../oci/digest.ts';
import { type ByteRange, spanOf, unsatisfiable } from '../../oci/range.ts';
import type { BlobAnswer, BlobSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import { verifyFirstBytes } from '../../store/ingest/follower.ts';
import type { MismatchError, NoRoomError } from '../../store/store-error.ts';
import type { Observer } from '../../telemetry/observer.ts';
import type { Transfer } from '../download/reserved-room.ts';
import { resumeTransfer, SourceList, type TransferPolicy } from '../download/resume.ts';
import { OwnQueue } from '../download/waiters.ts';
import type { ClosedRange } from './asked-range.ts';
import { FirstByteClock, PassthroughReader, silent, wrongBytes } from './follower-reader.ts';

export interface PassthroughOptions {
  readonly policy: TransferPolicy & { readonly firstByteMs: number };
  readonly recentMismatches: RecentMismatches;
  readonly observer: Observer;
  /** Aborted at shutdown. */
  readonly signal: AbortSignal;
  now(): number;
}

interface OpenOptions {
  readonly from: number;
  readonly end?: number;
  readonly expectedSize: number | undefined;
  /** Of the bytes before `from`. Undefined: a closed range, which can't be verified. */
  readonly hash: Hash | undefined;
}

export class Passthrough {
  readonly #options: PassthroughOptions;

  constructor(options: PassthroughOptions) {
    this.#options = options;
  }

  /** Errors: UpstreamError, RANGE_INVALID. */
  async whole(
    digest: Digest,
    source: BlobSource,
    range: ByteRange | undefined,
    signal: AbortSignal,
  ): Promise<BlobAnswer> {
    const hash = createDigester(algorithmOf(digest));
    const reader = this.#open(digest, source, { from: 0, expectedSize: undefined, hash });
    await this.#prime(reader, digest, source, signal);
    const { size } = reader;
    const outcome = 'passthrough';
    if (size === undefined) return { outcome, size, start: 0, end: undefined, partial: false, reader };
    try {
      return { outcome, size, ...spanOf(range, size), partial: range !== undefined, reader };
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  /**
   * `needs-whole`: the range reaches the last byte, which can't go out unverified, or the source can't give a part. Errors:
   * UpstreamError, RANGE_INVALID.
   */
  async range(
    digest: Digest,
    source: BlobSource,
    { first, last }: ClosedRange,
    expectedSize: number | undefined,
    signal: AbortSignal,
  ): Promise<BlobAnswer | 'needs-whole'> {
    if (last < first) throw unsatisfiable(expectedSize);
    const reader = this.restOfRange(digest, source, first, last + 1, expectedSize);
    try {
      await this.#prime(reader, digest, source, signal);
    } catch (error) {
      const refusal = error instanceof UpstreamError && error.failure === 'range' ? error : undefined;
      const total = reader.size ?? refusal?.size;
      if (total === undefined ? refusal?.upstreamStatus === 416 : first >= total) throw unsatisfiable(total);
      if (refusal !== undefined) return 'needs-whole'; // the source can't give a part
      throw error;
    }
    const { size } = reader;
    if (size === undefined || last >= size - 1 || size <= verifyFirstBytes) {
      await reader.close();
      return 'needs-whole';
    }
    return { outcome: 'passthrough', size, start: first, end: last + 1, partial: true, reader };
  }

  /** The rest of a closed range that ends before the last byte: `at` … `end - 1` of a blob of `size` bytes. */
  restOfRange(
    digest: Digest,
    source: BlobSource,
    at: number,
    end: number,
    size: number | undefined,
  ): PassthroughReader {
    return this.#open(digest, source, { from: at, end, expectedSize: size, hash: undefined });
  }

  /** The rest for a client that has drained a download without room. `at`: its next byte; `expectedSize`: what it was told. */
  continueFrom(
    digest: Digest,
    source: BlobSource,
    room: NoRoomError,
    at: number,
    expectedSize: number | undefined,
  ): PassthroughReader {
    const from = at >= room.front ? room.front : 0;
    const hash = from === 0 ? createDigester(algorithmOf(digest)) : room.copyHash();
    return this.#open(digest, source, { from, expectedSize, hash });
  }

  /** A transfer from byte 0 that is already running. */
  over(
    digest: Digest,
    { upstream }: BlobSource,
    { chunks, abort }: Transfer,
    size: number | undefined,
  ): PassthroughReader {
    const hash = createDigester(algorithmOf(digest));
    const onMismatch = this.#onMismatch(digest, upstream);
    return new PassthroughReader({ digest, chunks, hash, size: () => size, abort, onMismatch });
  }

  #open(
    digest: Digest,
    source: BlobSource,
    { from, end, expectedSize, hash }: OpenOptions,
  ): PassthroughReader {
    const { policy, observer, now } = this.#options;
    const controller = new AbortController();
    const queue = new OwnQueue();
    let size = expectedSize;
    const chunks = resumeTransfer({
      sources: new SourceList([source]),
      from,
      ...(end === undefined ? {} : { end }),
      expectedSize,
      policy,
      signal: AbortSignal.any([controller.signal, this.#options.signal]),
      observer,
      now,
      onQueue: isWaiting => queue.report(isWaiting),
      onOpened: (_source, opened) => {
        size = opened ?? size;
      },
    });
    const abort = () => controller.abort();
    const onMismatch = this.#onMismatch(digest, source.upstream);
    return new PassthroughReader({ digest, chunks, hash, size: () => size, abort, onMismatch, queue });
  }

  /** Waits for the first bytes; without one within `first_byte` the client may ask its next source. */
  async #prime(
    reader: PassthroughReader,
    digest: Digest,
    { upstream }: BlobSource,
    signal: AbortSignal,
  ): Promise<void> {
    const late = new AbortController();
    const clock = new FirstByteClock(this.#options.policy.firstByteMs, reader.queue, () => {
      if (!reader.hasBegun) late.abort(silent(upstream, digest));
    });
    try {
      await waitFor(reader.prime(), AbortSignal.any([signal, late.signal]));
    } catch (error) {
      await reader.close();
      throw error;
    } finally {
      clock.stop();
    }
  }

  #onMismatch(digest: Digest, upstream: string): (error: MismatchError) => UpstreamError {
    return error => {
      this.#options.recentMismatches.add(digest);
      return wrongBytes(upstream, error); // a range near the end may not have given a byte out yet
    };
  }
}
