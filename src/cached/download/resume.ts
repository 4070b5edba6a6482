/**
 * One transfer that outlives its connections: the bytes of a blob from `from` on, over all sources, continued with a
 * Range after a cut, a stall or a refused connection, until the end or until nothing moved for `giveUpMs`.
 *
 * Guarantees: chunks come in order and without gaps; a source that ignores Range is read from its start and skipped
 * (unless `onWhole` takes it all); an `end` beyond the blob's is the blob's; a source whose length differs from the expected one gives no byte. It does not verify: its callers hash.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { BlobSource, OpenedSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Observer, ResumeCause } from '../../telemetry/observer.ts';
import type { SourceList } from './source-list.ts';
import { StallGuard } from './stall-guard.ts';

export interface TransferPolicy {
  readonly stallMs: number;
  readonly giveUpMs: number;
}

export interface ResumeOptions extends TransferPolicy {
  readonly sources: SourceList;
  /** First byte wanted; `end`: one past the last (undefined: to the blob's end). */
  readonly from: number;
  readonly end?: number;
  /** Of the whole blob: from a descriptor or an earlier answer. */
  readonly expectedSize: number | undefined;
  readonly signal: AbortSignal;
  readonly observer: Observer;
  now(): number;
  /** Bytes of this blob have come already: a failure at the start is one in the middle. */
  readonly hasBegun?: boolean;
  /** These bytes are needed whatever they cost: of a source that refuses a closed range too, the whole is read. */
  readonly insists?: boolean;
  /** A closed range is answered with the whole, from `start` on: true takes all of it, to the blob's end. */
  onWhole?(start: number): boolean;
  /** Nobody waits for these bytes now: the next open may queue behind live work. */
  isBackground(): boolean;
  /** A source answered; `size` of the whole blob, if it says. */
  onOpened(source: BlobSource, size: number | undefined): void;
}

export interface Chunk {
  readonly at: number;
  readonly bytes: Buffer;
}

const backoffMs = [0, 100, 250, 500, 1000, 2000];
const final = new Set(['gone', 'denied', 'blocked', 'mismatch']);

/** Errors: the last `UpstreamError`, or the signal's reason. */
export async function* resumeTransfer(options: ResumeOptions): AsyncGenerator<Chunk, void, void> {
  const { sources, signal, now } = options;
  let at = options.from;
  let end = options.end;
  let size = options.expectedSize;
  let everOpened = options.hasBegun === true;
  let progressAt = now();
  let failures = 0;
  let cause: ResumeCause | undefined;
  const rangeless = new Set<BlobSource>();
  while (true) {
    signal.throwIfAborted();
    if (isDone(at, stopOf(end, size))) return;
    const source = sources.current();
    const guard = new StallGuard(options.stallMs, signal);
    let opening = true;
    try {
      const opened = await source.open(rangeless.has(source) ? 0 : at, {
        signal: guard.signal,
        background: options.isBackground(),
        ...(end === undefined || rangeless.has(source) ? {} : { end: stopOf(end, size) ?? end }),
        ...(options.insists === true && { isWhole: true }),
        ...(size === undefined ? {} : { expectedSize: size }),
      });
      size = checkSize(source.upstream, size, opened, at);
      opening = false;
      everOpened = true;
      if (cause !== undefined) options.observer.downloadResumed(source.upstream, cause);
      cause = undefined;
      options.onOpened(source, size);
      const isWhole = opened.start < at || opened.isPartial === false;
      if (end !== undefined && isWhole && options.onWhole?.(opened.start) === true) {
        at = opened.start;
        end = undefined;
      }
      const stop = stopOf(end, size);
      let position = opened.start;
      for await (const bytes of guard.watch(opened.stream)) {
        if (isDone(position, stop)) return; // more than was asked for: the source knows no ranges, or no end
        const wanted = bytes.subarray(
          Math.max(0, at - position),
          stop === undefined ? bytes.length : stop - position,
        );
        position += bytes.length;
        if (wanted.length === 0) continue;
        failures = 0;
        yield { at, bytes: wanted };
        at += wanted.length;
        progressAt = now();
      }
      if (stop === undefined || isDone(at, stop)) return;
      throw endedEarly(source.upstream, at, stop);
    } catch (thrown) {
      guard.abort(thrown);
      signal.throwIfAborted();
      const error = guard.stalled ? stalled(source.upstream, options.stallMs, thrown) : thrown;
      if (!(error instanceof UpstreamError)) throw error;
      cause ??= guard.stalled ? 'stall' : opening ? causeOf(error) : 'cut';
      const mayReadAll = end === undefined ? at > 0 : options.insists === true;
      if (error.failure === 'range' && mayReadAll && !rangeless.has(source)) {
        rangeless.add(source); // from its start, then, and what is here is skipped
        continue;
      }
      if (final.has(error.failure)) sources.drop(source);
      if (sources.exhausted) throw error;
      const turn = sources.next();
      if (!everOpened && at === options.from && turn === 'round') throw error; // nothing went out yet: answer fast
      if (now() - progressAt >= options.giveUpMs) throw error;
      if (turn === 'round') {
        const asked = error.retryAfterMs ?? 0;
        if (asked > options.giveUpMs - (now() - progressAt)) throw error;
        const wait = Math.max(asked, backoffMs[Math.min(failures, backoffMs.length - 1)] ?? 0);
        failures += 1;
        if (wait > 0) await delay(wait, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    } finally {
      guard.close();
    }
  }
}

/** One past the last byte that is wanted; undefined: where the source ends. */
function stopOf(end: number | undefined, size: number | undefined): number | undefined {
  return end === undefined || size === undefined ? (end ?? size) : Math.min(end, size);
}

function isDone(at: number, end: number | undefined): boolean {
  return end !== undefined && at >= end;
}

function endedEarly(upstream: string, at: number, end: number): UpstreamError {
  const message = `expected bytes up to ${end}, the source ended at ${at}`;
  return new UpstreamError({ upstream, kind: 'blob', failure: 'unreachable', message });
}

function stalled(upstream: string, stallMs: number, cause: unknown): UpstreamError {
  const message = `expected bytes, got none for ${stallMs} ms`;
  return new UpstreamError({ upstream, kind: 'blob', failure: 'timeout', message, cause });
}

function checkSize(
  upstream: string,
  expected: number | undefined,
  opened: OpenedSource,
  at: number,
): number | undefined {
  if (opened.start > at)
    throw wrongAnswer(upstream, `expected bytes from ${at} on, got them from ${opened.start} on`);
  if (expected !== undefined && opened.size !== undefined && opened.size !== expected) {
    throw wrongAnswer(upstream, `expected a blob of ${expected} bytes, got one of ${opened.size}`);
  }
  return expected ?? opened.size;
}

function wrongAnswer(upstream: string, message: string): UpstreamError {
  return new UpstreamError({ upstream, kind: 'blob', failure: 'mismatch', message });
}

function causeOf(error: UpstreamError): ResumeCause {
  if (error.failure === 'status' || error.failure === 'limited' || error.failure === 'paused')
    return 'status';
  if (error.failure === 'mismatch') return 'mismatch';
  return error.failure === 'unreachable' || error.failure === 'breaker' ? 'refused' : 'cut';
}
