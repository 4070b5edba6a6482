/**
 * Sources that follow a script, with one exact list of how they were opened. A source whose script has ended gives what
 * was asked for.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Digest } from '../../../src/oci/digest.ts';
import type { BlobSource, OpenedSource } from '../../../src/registry/registry.ts';
import { UpstreamError, type UpstreamFailure } from '../../../src/registry/upstream-error.ts';
import type { Kind } from '../../../src/telemetry/observer.ts';
import type { BlobContent } from '../../support/content.ts';

/** Time that moves by `advance` only. */
export class HandClock {
  #now = Date.UTC(2026, 0, 1);

  readonly now = (): number => this.#now;

  advance(ms: number): void {
    this.#now += ms;
  }
}

export interface Opening {
  readonly content: BlobContent;
  readonly offset: number;
  readonly end: number | undefined;
  readonly signal: AbortSignal;
  onQueue?: ((isWaiting: boolean) => void) | undefined;
}

/** One answer of a source. */
export type Act = (opening: Opening) => OpenedSource | Promise<OpenedSource>;

/** Opens in order of arrival, over all sources of a test: `a 0-`, `b 100-199`, `a 5- background`. */
export type Opens = string[];

export class ScriptedSource implements BlobSource {
  readonly upstream: string;
  readonly repository: string;
  readonly #content: BlobContent;
  readonly #opens: Opens;
  readonly #script: Act[];

  constructor(
    upstream: string,
    content: BlobContent,
    opens: Opens,
    script: readonly Act[] = [],
    repository = 'library/alpine',
  ) {
    this.upstream = upstream;
    this.repository = repository;
    this.#content = content;
    this.#opens = opens;
    this.#script = [...script];
  }

  async open(offset: number, options: Parameters<BlobSource['open']>[1]): Promise<OpenedSource> {
    const { signal, end, priority, onQueue } = options;
    const last = end === undefined ? '' : end - 1;
    this.#opens.push(
      `${this.upstream} ${offset}-${last}${priority?.isBackground === true ? ' background' : ''}`,
    );
    signal.throwIfAborted();
    return (this.#script.shift() ?? gives())({
      content: this.#content,
      offset,
      end,
      signal,
      onQueue,
    });
  }
}

export interface GiveOptions {
  /** What happens after so many bytes of this answer. */
  readonly after?: number;
  readonly ending?: 'cut' | 'stall' | 'end' | Error;
  /** What it says of the whole; `undefined` hides it. */
  readonly size?: number | undefined;
  /** 200 and everything. */
  readonly ignoresRange?: boolean;
  readonly startsAt?: number;
  /** Bytes of another content, for a source that lies. */
  readonly content?: BlobContent;
  /** Surplus bytes after the end. */
  readonly surplus?: number;
  readonly chunkBytes?: number;
  /** Called when the stream is over, whichever way. */
  onEnd?(): void;
  /** Called before each chunk. */
  beforeChunk?(at: number): void | Promise<void>;
}

/** What was asked for, or something like it. */
export function gives(options: GiveOptions = {}): Act {
  return ({ content: own, offset, end, signal }) => {
    const content = options.content ?? own;
    const start = options.startsAt ?? (options.ignoresRange === true ? 0 : offset);
    const stop = (options.ignoresRange === true ? undefined : end) ?? content.size;
    const size = 'size' in options ? options.size : content.size;
    return { start, size, stream: streamOf(content, start, stop, options, signal) };
  };
}

async function* streamOf(
  content: BlobContent,
  start: number,
  stop: number,
  options: GiveOptions,
  signal: AbortSignal,
): AsyncGenerator<Buffer, void, void> {
  const { after = Number.POSITIVE_INFINITY, chunkBytes = 64 * 1024, surplus = 0 } = options;
  try {
    let at = start;
    while (at < Math.min(stop, start + after)) {
      const upTo = Math.min(at + chunkBytes, stop, start + after);
      await options.beforeChunk?.(at);
      signal.throwIfAborted();
      yield content.slice(at, upTo);
      at = upTo;
    }
    if (start + after < stop) {
      if (options.ending === 'end') return;
      if (options.ending === 'stall') return await untilAborted(signal);
      throw options.ending instanceof Error ? options.ending : failure('unreachable');
    }
    if (surplus > 0) yield Buffer.alloc(surplus, 1);
  } finally {
    options.onEnd?.();
  }
}

/** Never resolves; rejects with the reason as soon as the signal aborts. */
export function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** The answer is a failure. */
export function fails(failed: UpstreamFailure, retryAfterMs?: number): Act {
  return () => {
    throw failure(failed, retryAfterMs);
  };
}

/** No answer until the signal aborts. */
export const hangs: Act = ({ signal }) => untilAborted(signal);

export function failure(failed: UpstreamFailure, retryAfterMs?: number, kind: Kind = 'blob'): UpstreamError {
  return new UpstreamError({
    upstream: 'docker.io',
    kind,
    failure: failed,
    message: `injected: ${failed}`,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });
}

/** Whether it is still open after everything that could happen at once has happened. */
export async function isPending(work: Promise<unknown>): Promise<boolean> {
  const settled = work.then(
    () => false,
    () => false,
  );
  for (let count = 0; count < 5; count += 1) await turn();
  return Promise.race([settled, turn(true)]);
}

export function digestWith(digit: string): Digest {
  return `sha256:${digit.repeat(64)}` as Digest;
}
