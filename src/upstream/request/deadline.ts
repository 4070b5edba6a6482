/**
 * The time that one operation may take, whatever it does in it: queue, token, redirects, retries. Its signal aborts with
 * what the operation shall fail with: a timeout, the caller's own reason, or that the upstream was found away meanwhile.
 */
import type { Timers } from '../../lib/timers.ts';

export interface DeadlineOptions {
  readonly budgetMs: number;
  readonly timers: Timers;
  /** The caller's signal: its abort is passed on with its own reason. */
  readonly caller: AbortSignal;
  /** What the operation fails with when the time is over. */
  expired(): Error;
}

export class Deadline {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal;
  readonly #stopClock: () => void;
  #isExpired = false;
  readonly #onCallerAbort = (): void => this.abort(this.#caller.reason);

  constructor(options: DeadlineOptions) {
    this.signal = this.#controller.signal;
    this.#caller = options.caller;
    this.#stopClock = options.timers.after(options.budgetMs, () => {
      this.#isExpired = !this.signal.aborted;
      this.abort(options.expired());
    });
    if (this.#caller.aborted) this.#onCallerAbort();
    else this.#caller.addEventListener('abort', this.#onCallerAbort, { once: true });
  }

  /** The time ran out, rather than somebody's patience. */
  get isExpired(): boolean {
    return this.#isExpired;
  }

  abort(reason: unknown): void {
    this.#stopClock();
    this.#controller.abort(reason);
  }

  /** The answer is here: from now on only the caller ends it. */
  settle(): void {
    this.#stopClock();
  }

  /** The operation is over, and so is its interest in the caller. Idempotent. */
  dispose(): void {
    this.#stopClock();
    this.#caller.removeEventListener('abort', this.#onCallerAbort);
  }
}
