/**
 * 429: the upstream asked not to be asked (RFC 6585 4, RFC 9110 10.2.3). Per kind, so that blobs, which no registry
 * counts, go on while manifests wait.
 */
import { parseRetryAfter } from '../../oci/rate-limit.ts';
import type { Kind } from '../../telemetry/observer.ts';

/** For a 429 without Retry-After (Docker Hub's). */
const defaultPauseMs = 10_000;
const maxPauseMs = 10 * 60_000;

export class RateLimitPauses {
  readonly #now: () => number;
  readonly #until = new Map<Kind, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** `retryAfter`: the header as received. Answers for how long, in ms. */
  pause(kind: Kind, retryAfter: string | undefined): number {
    const now = this.#now();
    const pauseMs = Math.min(parseRetryAfter(retryAfter, now) ?? defaultPauseMs, maxPauseMs);
    this.#until.set(kind, now + pauseMs);
    return pauseMs;
  }

  /** In ms since the epoch; undefined when it may be asked. */
  pausedUntil(kind: Kind): number | undefined {
    const until = this.#until.get(kind);
    return until !== undefined && until > this.#now() ? until : undefined;
  }
}
