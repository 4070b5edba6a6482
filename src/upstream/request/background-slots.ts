/**
 * Places for background transfers: work that nobody waits for goes on with an eighth of the connections, so that live
 * transfers never queue behind it.
 */
import pLimit from 'p-limit';

export class Slots {
  readonly #limit: ReturnType<typeof pLimit>;

  constructor(maxTransfers: number) {
    this.#limit = pLimit(Math.max(1, Math.floor(maxTransfers / 8)));
  }

  /** Waits for a place; the answer gives it back, idempotent. Errors: the signal's reason. */
  take(signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const onAbort = (): void => reject(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      void this.#limit(
        () =>
          new Promise<void>(giveBack => {
            signal.removeEventListener('abort', onAbort);
            // p-limit can't withdraw a queued job: the turn of a caller who left is over at once
            if (signal.aborted) return giveBack();
            resolve(giveBack);
          }),
      );
    });
  }
}
