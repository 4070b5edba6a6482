/** Runs so many at once (p-limit); the others wait in line. A caller may leave the line, and the line may have a bound. */
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

  /** Waits for a place; the answer gives it back, idempotent. Errors: the signal's reason; `LimitExceeded`. */
  acquire(signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = (): void => reject(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      this.run(
        () =>
          new Promise<void>(release => {
            signal.removeEventListener('abort', onAbort);
            // p-limit can't withdraw a queued job: the place of a caller who left is given back at once
            if (signal.aborted) return release();
            resolve(release);
          }),
      ).catch(reject);
    });
  }
}
