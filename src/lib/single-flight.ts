/** Single flight: while one caller's work runs, others with the same key wait for the same answer. */
import { waitFor } from './wait.ts';

export class SingleFlight<T> {
  readonly #running = new Map<string, { readonly work: Promise<T>; readonly startedMs: number }>();

  /** `joined`: the work had been started by another caller. Errors: those of `work`, or the signal's reason. */
  async run(
    key: string,
    signal: AbortSignal,
    work: () => Promise<T>,
  ): Promise<{ readonly value: T; readonly joined: boolean }> {
    const running = this.#running.get(key);
    if (running !== undefined) return { value: await waitFor(running.work, signal), joined: true };
    const started = work().finally(() => this.#running.delete(key));
    started.catch(() => {}); // every caller may have left: no rejection is left unhandled
    this.#running.set(key, { work: started, startedMs: performance.now() });
    return { value: await waitFor(started, signal), joined: false };
  }

  /** How long the work under that key has been running, in ms; 0 when none is. */
  ageMs(key: string): number {
    const running = this.#running.get(key);
    return running === undefined ? 0 : performance.now() - running.startedMs;
  }
}
