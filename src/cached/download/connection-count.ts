/**
 * How many connections one blob is worth: one more as long as that made the whole faster. Counted in windows of bytes, so
 * that a slow line decides as well as a fast one; clocks are handed in.
 */

export interface Pace {
  readonly count: number;
  /** Bytes per millisecond, of the count before it grew. */
  readonly best: number;
  /** One more brought nothing: it stays as it is. */
  readonly isSettled: boolean;
}

export const firstPace: Pace = { count: 1, best: 0, isSettled: false };

const maxCount = 8;
/** Less is noise. */
const growth = 1.1;
const windowBytes = 4 * 1024 * 1024;

/** After a window in which so many bytes came per millisecond. */
export function nextPace(pace: Pace, rate: number): Pace {
  if (pace.isSettled) return pace;
  if (rate < pace.best * growth) return { ...pace, count: Math.max(1, pace.count - 1), isSettled: true };
  return { count: Math.min(maxCount, pace.count + 1), best: rate, isSettled: pace.count === maxCount };
}

export class ConnectionCount {
  readonly #now: () => number;
  #pace = firstPace;
  #bytes = 0;
  #since: number;

  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  /** So many bytes have come, over all connections; returns how many there should be. */
  arrived(bytes: number): number {
    this.#bytes += bytes;
    if (this.#bytes >= windowBytes * this.#pace.count) {
      const now = this.#now();
      this.#pace = nextPace(this.#pace, this.#bytes / Math.max(1, now - this.#since));
      this.#bytes = 0;
      this.#since = now;
    }
    return this.#pace.count;
  }
}
