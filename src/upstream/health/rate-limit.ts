/**
 * What an upstream says about its pull quota: what is left of it (`RateLimit-*` of every answer of its own host), and for
 * how long it wants no requests (429: RFC 6585 4, RFC 9110 10.2.3).
 */
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { isQuotaLow, parseRateLimit, parseRetryAfter, type RateLimit } from '../../oci/rate-limit.ts';
import type { QuotaReading } from '../../registry/origin.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { Headers } from '../transport/transport.ts';

/** For a 429 without Retry-After (Docker Hub's). */
const defaultPauseMs = 10_000;
const maxPauseMs = 10 * 60_000;
/** Docker Hub's, for a reading that doesn't name its own. */
const defaultWindowSeconds = 21_600;

/** Per kind, so that blobs, which no registry counts, go on while manifests wait. */
export class RateLimitPauses {
  readonly #now: () => number;
  readonly #until = new Map<Kind, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** `retryAfter`: the header as received. Gives the length of the pause in ms. */
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

/** A redirect's target may have any name. */
const maxHosts = 256;

/** The same for hosts beside the upstream's own: the stores and registries that redirects lead to. */
export class HostPauses {
  readonly #hosts: ExpiringMap<string, RateLimitPauses>;
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
    this.#hosts = new ExpiringMap({ maxEntries: maxHosts, ttlMs: maxPauseMs, now });
  }

  /** As `RateLimitPauses.pause`. */
  pause(host: string, kind: Kind, retryAfter: string | undefined): number {
    const pauses = this.#hosts.get(host) ?? new RateLimitPauses(this.#now);
    this.#hosts.set(host, pauses);
    return pauses.pause(kind, retryAfter);
  }

  pausedUntil(host: string, kind: Kind): number | undefined {
    return this.#hosts.get(host)?.pausedUntil(kind);
  }
}

/** The last reading. One older than its window says nothing any more: the upstream has given a new quota since. */
export class PullQuota {
  readonly #now: () => number;
  readonly #onReading: (limit: RateLimit) => void;
  #reading: { readonly limit: RateLimit; readonly untilMs: number } | undefined;

  constructor(now: () => number, onReading: (limit: RateLimit) => void) {
    this.#now = now;
    this.#onReading = onReading;
  }

  read(headers: Headers): void {
    const limit = parseRateLimit(headers);
    if (limit === undefined) return;
    const windowMs = (limit.windowSeconds ?? defaultWindowSeconds) * 1000;
    this.#reading = { limit, untilMs: this.#now() + windowMs };
    this.#onReading(limit);
  }

  /** Nearly used up, as of the last reading. */
  get isLow(): boolean {
    const { current } = this;
    return current !== undefined && isQuotaLow(current);
  }

  /** Undefined: there is none, it is older than its window, or it doesn't say what is left. */
  get current(): QuotaReading | undefined {
    if (this.#reading === undefined || this.#reading.untilMs <= this.#now()) return undefined;
    const { limit, untilMs } = this.#reading;
    return limit.remaining === undefined
      ? undefined
      : { limit: limit.limit ?? 0, remaining: limit.remaining, untilMs };
  }
}

/** For clients. `untilMs`: milliseconds since the epoch. */
export function formatUsedUp(host: string, untilMs: number): string {
  return `${host}'s pull limit is used up, asked again at ${new Date(untilMs).toISOString().slice(11, 19)} UTC`;
}
