/**
 * What failed a moment ago. dockerd asks HEAD and then GET, containerd asks several objects: the second request gets the
 * first one's failure at once. Content that isn't there (`gone`) is for `cached/` to remember, what the breaker or a rate
 * limit knows is not kept twice.
 */
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { UpstreamError, type UpstreamFailure } from '../../registry/upstream-error.ts';
import type { Kind } from '../../telemetry/observer.ts';

/** dockerd asks HEAD and then GET; podman tries again after a few seconds. */
const ttlMs = 10_000;
/** A client that asks for names at random must not fill the memory. */
const maxEntries = 4096;
const kept: ReadonlySet<UpstreamFailure> = new Set([
  'denied',
  'credentials',
  'status',
  'unreachable',
  'timeout',
]);

/** A connection attempt that took this long was met with silence, not with a refusal. Milliseconds. */
export const slowMs = 1000;

export class RecentFailures {
  readonly #failures: ExpiringMap<string, UpstreamError>;

  /** `now`: milliseconds since the epoch. */
  constructor(now: () => number) {
    this.#failures = new ExpiringMap({ maxEntries, ttlMs, now });
  }

  remember(key: string, error: unknown): void {
    if (error instanceof UpstreamError && kept.has(error.failure)) this.#failures.set(key, error);
  }

  recall(key: string): UpstreamError | undefined {
    return this.#failures.get(key);
  }

  /** Errors: the failure that is remembered for `key`, as one of `kind`. */
  throwIfFailed(key: string, kind: Kind): void {
    const failure = this.recall(key);
    if (failure !== undefined) throw failAs(kind, failure, ' (a moment ago)');
  }

  forget(key: string): void {
    this.#failures.delete(key);
  }

  /** The host is back. What it was too slow for, or refused, it may be too slow for again. */
  forgetUnreachable(): void {
    this.#failures.deleteWhere(({ failure }) => failure === 'unreachable');
  }
}

/** The same failure for a request of another kind: what a client gets depends on what it asked for. */
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
