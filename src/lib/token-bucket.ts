/** Bounds how often something happens: a burst at first, then so many per second. Who comes when it is empty is told how long to wait. */

export interface TokenBucketOptions {
  readonly perSecond: number;
  /** So many at once after a rest. */
  readonly burst: number;
  /** Milliseconds on any clock that doesn't go back. */
  now?(): number;
}

export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #now: () => number;
  #tokens: number;
  #filledAtMs: number;

  constructor({ perSecond, burst, now = () => performance.now() }: TokenBucketOptions) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#now = now;
    this.#tokens = burst;
    this.#filledAtMs = now();
  }

  /** Takes so many tokens. Milliseconds until they are there: those who come later wait longer. */
  take(count: number): number {
    const nowMs = this.#now();
    const gained = ((nowMs - this.#filledAtMs) * this.#perSecond) / 1000;
    this.#tokens = Math.min(this.#burst, this.#tokens + gained) - count;
    this.#filledAtMs = nowMs;
    return Math.max(0, (-this.#tokens * 1000) / this.#perSecond);
  }
}
