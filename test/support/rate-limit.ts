/**
 * A pull quota like Docker Hub's: each manifest GET counts, HEAD does not; the headers are on both. When it is used up,
 * GET is 429. A blob costs nothing.
 */
export interface RateLimitOptions {
  readonly limit: number;
  /** Default: the limit. */
  readonly remaining?: number;
  /** Default six hours. */
  readonly windowS?: number;
  /** On the 429. Default: no such header. */
  readonly retryAfterS?: number;
  /** HEAD is 429 too when the quota is used up. */
  readonly headToo?: boolean;
}

export class PullQuota {
  readonly #options: RateLimitOptions;
  /** May be set by a test at any time. */
  remaining: number;

  constructor(options: RateLimitOptions) {
    this.#options = options;
    this.remaining = options.remaining ?? options.limit;
  }

  /** Counts a manifest request; false when it must be refused. */
  spend(method: string): boolean {
    if (method !== 'GET') return this.remaining > 0 || this.#options.headToo !== true;
    if (this.remaining <= 0) return false;
    this.remaining -= 1;
    return true;
  }

  headers(): Record<string, string> {
    const { limit, windowS = 21_600 } = this.#options;
    return {
      'ratelimit-limit': `${limit};w=${windowS}`,
      'ratelimit-remaining': `${this.remaining};w=${windowS}`,
      'docker-ratelimit-source': '192.0.2.1',
    };
  }

  refusalHeaders(): Record<string, string> {
    const { retryAfterS } = this.#options;
    return { ...this.headers(), ...(retryAfterS !== undefined && { 'Retry-After': String(retryAfterS) }) };
  }
}
