/**
 * One transfer that outlives its connections: the bytes of a blob from `from` on, over all sources, continued with a
 * Range after a cut, a stall or a refused connection, until the end or until nothing moved for `giveUpMs`.
 *
 * Guarantees: chunks come in order and without gaps; a source that ignores Range is read from its start and skipped; a
 * source whose length differs from the expected one gives no byte. It does not verify: its callers hash.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { BlobSource, OpenedSource } from '../registry/registry.ts';
import { UpstreamError } from '../registry/upstream-error.ts';
import type { Observer, ResumeCause } from '../telemetry/observer.ts';
import type { SourceList } from './source-list.ts';
import { StallGuard } from './stall-guard.ts';

export interface ResumeOptions {
  readonly sources: SourceList;
  /** First byte wanted; `end`: one past the last (undefined: to the blob's end). */
  readonly from: number;
  readonly end?: number;
  /** Of the whole blob: from a descriptor or an earlier answer. */
  readonly expectedSize: number | undefined;
  readonly stallMs: number;
  readonly giveUpMs: number;
  readonly signal: AbortSignal;
  readonly observer: Observer;
  now(): number;
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
  let size = options.expectedSize;
  let everOpened = false;
  let progressAt = now();
  let failures = 0;
  let cause: ResumeCause | undefined;
  while (true) {
    signal.throwIfAborted();
    const end = options.end ?? size;
    if (end !== undefined && at >= end) return;
    const source = sources.current();
    const guard = new StallGuard(options.stallMs, signal);
    let opening = true;
    try {
      const opened = await source.open(at, {
        signal: guard.signal,
        background: options.isBackground(),
        ...(options.end === undefined ? {} : { end: options.end }),
      });
      size = checkSize(source.upstream, size, opened, at);
      opening = false;
      everOpened = true;
      if (cause !== undefined) options.observer.downloadResumed(source.upstream, cause);
      cause = undefined;
      options.onOpened(source, size);
      let position = opened.start;
      for await (const bytes of guard.watch(opened.stream)) {
        const wanted = bytes.subarray(
          Math.max(0, at - position),
          end === undefined ? bytes.length : end - position,
        );
        position += bytes.length;
        progressAt = now();
        failures = 0;
        if (wanted.length === 0) continue;
        yield { at, bytes: wanted };
        at += wanted.length;
        progressAt = now();
      }
      if ((options.end ?? size ?? at) <= at) return;
      cause = 'cut';
    } catch (error) {
      signal.throwIfAborted();
      if (!guard.stalled && !(error instanceof UpstreamError)) throw error;
      cause ??= guard.stalled ? 'stall' : opening ? causeOf(error) : 'cut';
      if (error instanceof UpstreamError && final.has(error.failure)) sources.drop(source);
      if (sources.exhausted) throw error;
      const turn = sources.next();
      if (!everOpened && at === options.from && turn === 'round') throw error; // nothing went out yet: answer fast
      if (now() - progressAt >= options.giveUpMs) throw error;
      const asked = error instanceof UpstreamError ? (error.retryAfterMs ?? 0) : 0;
      if (asked > options.giveUpMs - (now() - progressAt)) throw error;
      if (turn === 'round') {
        const wait = Math.max(asked, backoffMs[Math.min(failures, backoffMs.length - 1)] ?? 0);
        failures += 1;
        if (wait > 0) await delay(wait, undefined, { signal });
      }
    } finally {
      guard.close();
    }
  }
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

function causeOf(error: unknown): ResumeCause {
  if (!(error instanceof UpstreamError)) return 'cut';
  if (error.failure === 'status' || error.failure === 'limited' || error.failure === 'paused')
    return 'status';
  if (error.failure === 'mismatch') return 'mismatch';
  return error.failure === 'unreachable' || error.failure === 'breaker' ? 'refused' : 'cut';
}
