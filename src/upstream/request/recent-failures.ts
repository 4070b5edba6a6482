/**
 * What failed a moment ago. dockerd asks HEAD and then GET, containerd asks several objects: the second question gets
 * the first one's failure at once, instead of waiting for it again. Content that isn't there (`gone`) is not kept here,
 * that is for `cached/` to remember; neither is what is known elsewhere (breaker, pause) or may be right next time.
 */
import { UpstreamError, type UpstreamFailure } from '../../registry/upstream-error.ts';
import type { Kind } from '../../telemetry/observer.ts';

export interface RecentFailuresOptions {
  readonly ttlMs: number;
  now(): number;
}

interface Remembered {
  readonly error: UpstreamError;
  readonly untilMs: number;
}

const kept: ReadonlySet<UpstreamFailure> = new Set(['denied', 'status', 'unreachable', 'timeout']);
/** A client that asks for names at random must not fill the memory. */
const maxEntries = 4096;

export class RecentFailures {
  readonly #options: RecentFailuresOptions;
  readonly #entries = new Map<string, Remembered>();

  constructor(options: RecentFailuresOptions) {
    this.#options = options;
  }

  remember(key: string, error: unknown): void {
    if (!(error instanceof UpstreamError) || !kept.has(error.failure)) return;
    this.#entries.delete(key); // a Map is ordered by insertion: the first entry is always the oldest
    this.#entries.set(key, { error, untilMs: this.#options.now() + this.#options.ttlMs });
    const oldest = this.#entries.keys().next();
    if (this.#entries.size > maxEntries && !oldest.done) this.#entries.delete(oldest.value);
  }

  recall(key: string): UpstreamError | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.untilMs > this.#options.now()) return entry.error;
    this.#entries.delete(key);
    return undefined;
  }

  forget(key: string): void {
    this.#entries.delete(key);
  }

  /** The host is back. What it was too slow for, or refused, it may be too slow for again. */
  forgetUnreachable(): void {
    for (const [key, { error }] of this.#entries)
      if (error.failure === 'unreachable') this.#entries.delete(key);
  }
}

/** The same failure for a question of another kind: what a client gets depends on what it asked for. */
export function failAs(kind: Kind, error: UpstreamError, note = ''): UpstreamError {
  return new UpstreamError({
    upstream: error.upstream,
    kind,
    failure: error.failure,
    message: `${error.message}${note}`,
    cause: error,
    ...(error.upstreamStatus === undefined ? {} : { upstreamStatus: error.upstreamStatus }),
    ...(error.retryAfterMs === undefined ? {} : { retryAfterMs: error.retryAfterMs }),
  });
}
