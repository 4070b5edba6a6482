/**
 * One transfer that outlives its connections: the bytes of a blob from `from` on. After a cut, a stall, a refusal, or a minute
 * below the minimum rate it goes on with a Range at the next source, until the end or until no byte came for `giveUpMs`. Chunks
 * come in order, without gaps, and never from a blob of another length. The caller verifies the digest.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  type BlobSource,
  type OpenedSource,
  type TransferPriority,
  TransferYielded,
} from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Observer, ResumeCause } from '../../telemetry/observer.ts';
import { TransferGuard } from './transfer-guard.ts';

export interface TransferPolicy {
  readonly stallMs: number;
  readonly giveUpMs: number;
  /** Bytes per second, over a minute; 0: none. */
  readonly minRate: number;
}

export interface ResumeOptions {
  readonly sources: SourceList;
  /** The first byte needed; `end`: one past the last (undefined: to the blob's end). */
  readonly from: number;
  readonly end?: number;
  /** Of the whole blob: from a descriptor or an earlier answer. */
  readonly expectedSize: number | undefined;
  readonly policy: TransferPolicy;
  readonly signal: AbortSignal;
  readonly observer: Observer;
  now(): number;
  /** Bytes of this blob have come already: a failure at the start counts as one in the middle. */
  readonly hasBegun?: boolean;
  /** The closed range is a gap in a download of the whole blob: a source that refuses it is read from its start. */
  readonly isOfWhole?: boolean;
  /** A source answers a closed range with the whole blob, from `start` on. True: all of it is taken, to the blob's end. */
  onWhole?(start: number): boolean;
  /** In the background it gives its connection away where that is needed, and one that only drips ends it. */
  readonly priority?: TransferPriority;
  /** See `BlobSource.open`. */
  onQueue(isWaiting: boolean): void;
  /** A source answered; `size` of the whole blob, if it is known, and whether this source says it too. */
  onOpened(source: BlobSource, size: number | undefined, isConfirmed: boolean): void;
}

export interface Chunk {
  readonly at: number;
  readonly bytes: Buffer;
}

const backoffMs = [0, 100, 250, 500, 1000, 2000];
const finalFailures = new Set(['gone', 'denied', 'credentials', 'blocked', 'mismatch']);

/** Errors: the last `UpstreamError`, or the signal's reason. */
export async function* resumeTransfer(options: ResumeOptions): AsyncGenerator<Chunk, void, void> {
  const { sources, signal, now, policy } = options;
  let at = options.from;
  let end = options.end;
  let size = options.expectedSize;
  let wasOpened = options.hasBegun === true;
  let progressAt = now();
  let failures = 0;
  let cause: ResumeCause | undefined;
  const rangeless = new Set<BlobSource>();
  while (true) {
    signal.throwIfAborted();
    if (isDone(at, stopOf(end, size))) return;
    const source = sources.current();
    const guard = new TransferGuard(policy, now, signal);
    let isOpening = true;
    let queuedAt = now();
    try {
      const opened = await source.open(rangeless.has(source) ? 0 : at, {
        signal: guard.signal,
        ...(options.priority !== undefined && { priority: options.priority }),
        onQueue: isWaiting => {
          if (isWaiting) queuedAt = now();
          else progressAt += Math.max(0, now() - queuedAt); // no time of the source's
          options.onQueue(isWaiting);
        },
        ...(end === undefined || rangeless.has(source) ? {} : { end: stopOf(end, size) ?? end }),
        ...(options.isOfWhole === true && { isWhole: true }),
        ...(size === undefined ? {} : { expectedSize: size }),
      });
      size = checkSize(source.upstream, size, opened, at);
      isOpening = false;
      wasOpened = true;
      if (cause !== undefined) options.observer.downloadResumed(source.upstream, cause);
      cause = undefined;
      options.onOpened(source, size, opened.size !== undefined);
      const ignoresRange = opened.start < at || opened.isPartial === false;
      if (end !== undefined && ignoresRange && options.onWhole?.(opened.start) === true) {
        at = opened.start;
        end = undefined;
      }
      const stop = stopOf(end, size);
      let position = opened.start;
      for await (const bytes of guard.watch(opened.stream)) {
        if (isDone(position, stop)) return; // more than was asked for: the source knows no ranges, or no end
        const needed = bytes.subarray(
          Math.max(0, at - position),
          stop === undefined ? bytes.length : stop - position,
        );
        position += bytes.length;
        if (needed.length === 0) continue;
        failures = 0;
        yield { at, bytes: needed };
        at += needed.length;
        progressAt = now();
      }
      if (stop === undefined || isDone(at, stop)) return;
      throw blobError(source.upstream, 'unreachable', `the body ended after byte ${at} of ${stop}`);
    } catch (thrown) {
      guard.abort(thrown);
      signal.throwIfAborted();
      if (thrown instanceof TransferYielded) continue; // it queues for another connection
      const { ended } = guard;
      const error =
        ended === undefined ? thrown : blobError(source.upstream, 'timeout', ended.message, thrown);
      if (!(error instanceof UpstreamError)) throw error;
      cause ??= ended?.cause ?? (isOpening ? causeOf(error) : 'cut');
      if (ended?.cause === 'slow' && options.priority?.isBackground === true) throw error;
      const mayReadAll = end === undefined ? at > 0 : options.isOfWhole === true;
      if (error.failure === 'range' && mayReadAll && !rangeless.has(source)) {
        rangeless.add(source); // the source is read from its start, and what is here is skipped
        continue;
      }
      if (finalFailures.has(error.failure)) sources.drop(source);
      if (sources.exhausted) throw error;
      const step = sources.next();
      if (!wasOpened && at === options.from && step === 'round') throw error; // nothing went out yet: answer fast
      if (now() - progressAt >= policy.giveUpMs) throw error;
      if (step === 'round') {
        const askedMs = error.retryAfterMs ?? 0;
        if (askedMs > policy.giveUpMs - (now() - progressAt)) throw error;
        const waitMs = Math.max(askedMs, backoffMs[Math.min(failures, backoffMs.length - 1)] ?? 0);
        failures += 1;
        if (waitMs > 0) await delay(waitMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    } finally {
      guard.close();
    }
  }
}

/** One past the last byte that is needed; undefined: where the source ends. */
function stopOf(end: number | undefined, size: number | undefined): number | undefined {
  return end === undefined || size === undefined ? (end ?? size) : Math.min(end, size);
}

function isDone(at: number, end: number | undefined): boolean {
  return end !== undefined && at >= end;
}

function checkSize(
  upstream: string,
  expected: number | undefined,
  { start, size }: OpenedSource,
  at: number,
): number | undefined {
  if (start > at) throw blobError(upstream, 'mismatch', `the body starts at byte ${start} instead of ${at}`);
  if (expected !== undefined && size !== undefined && size !== expected) {
    throw blobError(upstream, 'mismatch', `the blob has ${size} bytes there instead of ${expected}`);
  }
  return expected ?? size;
}

function blobError(
  upstream: string,
  failure: 'unreachable' | 'timeout' | 'mismatch',
  message: string,
  cause?: unknown,
): UpstreamError {
  return new UpstreamError({ upstream, kind: 'blob', failure, message, cause });
}

function causeOf({ failure }: UpstreamError): ResumeCause {
  if (failure === 'status' || failure === 'limited' || failure === 'paused') return 'status';
  if (failure === 'mismatch') return 'mismatch';
  return failure === 'unreachable' || failure === 'breaker' ? 'refused' : 'cut';
}

/**
 * The sources of one transfer, in the order in which to ask them. It never dials. A source that has refused for good is
 * dropped; clients that join through other repositories add theirs.
 */
export class SourceList {
  readonly #sources: BlobSource[];
  #index = 0;

  constructor(sources: readonly BlobSource[]) {
    this.#sources = sources.flatMap(withAlternatives);
  }

  /** The same repository of the same upstream is kept once, at all its URLs. */
  add(source: BlobSource): void {
    if (!this.has(source.upstream, source.repository)) this.#sources.push(...withAlternatives(source));
  }

  has(upstream: string, repository: string): boolean {
    return this.#sources.some(held => held.upstream === upstream && held.repository === repository);
  }

  /** Errors: Error when the list is empty. */
  current(): BlobSource {
    const source = this.#sources[Math.max(0, this.#index)];
    if (source === undefined) throw new Error('the source list is empty');
    return source;
  }

  /** `round`: all sources have been asked since the last round; the caller may wait. */
  next(): 'next' | 'round' {
    this.#index += 1;
    if (this.#index < this.#sources.length) return 'next';
    this.#index = 0;
    return 'round';
  }

  /** The sources after it keep their place in this round: `next` comes to them. */
  drop(source: BlobSource): void {
    const at = this.#sources.indexOf(source);
    if (at === -1) return;
    this.#sources.splice(at, 1);
    if (at <= this.#index) this.#index -= 1;
  }

  get exhausted(): boolean {
    return this.#sources.length === 0;
  }

  get count(): number {
    return this.#sources.length;
  }
}

function withAlternatives(source: BlobSource): readonly BlobSource[] {
  return [source, ...(source.alternatives ?? [])];
}
