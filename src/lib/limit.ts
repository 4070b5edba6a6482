/** Runs so many at once (p-limit); the others wait in line. The line may have a bound. */
import pLimit from 'p-limit';

export interface LimitOptions {
  readonly maxRunning: number;
  /** Absent: the line has no bound. */
  readonly maxWaiting?: number;
}

/** The line has reached its bound. */
export class LimitExceeded extends Error {
  override readonly name = 'LimitExceeded';
}

export class Limit {
  readonly #limit: ReturnType<typeof pLimit>;
  readonly #maxAdmitted: number;
  #admitted = 0;

  constructor({ maxRunning, maxWaiting = Number.POSITIVE_INFINITY }: LimitOptions) {
    this.#limit = pLimit(maxRunning);
    this.#maxAdmitted = maxRunning + maxWaiting;
  }

  /** Errors: those of `work`; `LimitExceeded`. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#admitted >= this.#maxAdmitted) throw new LimitExceeded('too many are waiting');
    this.#admitted += 1;
    try {
      return await this.#limit(work);
    } finally {
      this.#admitted -= 1;
    }
  }
}
