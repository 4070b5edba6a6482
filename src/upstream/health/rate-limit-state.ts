/**
 * What the upstream last said about its rate limit, from every answer of its own host. A reading older than its window
 * says nothing any more: the upstream has given a new budget since.
 */
import { isQuotaLow, parseRateLimit, type RateLimit } from '../../oci/rate-limit.ts';
import type { Headers } from '../transport/transport.ts';

/** Docker Hub's, for a reading that doesn't name its own. */
const defaultWindowSeconds = 21_600;

export interface RateLimitStateOptions {
  now(): number;
  onReading(limit: RateLimit): void;
}

export class RateLimitState {
  readonly #options: RateLimitStateOptions;
  #reading: { readonly limit: RateLimit; readonly untilMs: number } | undefined;

  constructor(options: RateLimitStateOptions) {
    this.#options = options;
  }

  read(headers: Headers): void {
    const limit = parseRateLimit(headers);
    if (limit === undefined) return;
    const windowMs = (limit.windowSeconds ?? defaultWindowSeconds) * 1000;
    this.#reading = { limit, untilMs: this.#options.now() + windowMs };
    this.#options.onReading(limit);
  }

  /** Nearly used up, as of the last reading. */
  get quotaLow(): boolean {
    if (this.#reading === undefined || this.#reading.untilMs <= this.#options.now()) return false;
    return isQuotaLow(this.#reading.limit);
  }
}
