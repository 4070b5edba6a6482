/** Waiting for work that others share, or that can't be cancelled. The signal or the timeout ends this wait, never the work. */

/** Errors: those of `work`, or the signal's reason. */
export function waitFor<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    // A result after the abort changes nothing: a promise settles once, and no rejection is left unhandled.
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Whether `work` settled, either way, within `timeoutMs`. It is never rejected. */
export async function settleWithin(work: Promise<unknown>, timeoutMs: number): Promise<'settled' | 'late'> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>(resolve => {
    timer = setTimeout(() => resolve('late'), timeoutMs);
  });
  const settled = work.then(
    () => 'settled' as const,
    () => 'settled' as const,
  );
  try {
    return await Promise.race([settled, late]);
  } finally {
    clearTimeout(timer);
  }
}

export interface Timers {
  /** Calls `run` once, `delayMs` from now. The answer withdraws it; idempotent. */
  after(delayMs: number, run: () => void): () => void;
}

/** They don't keep the process alive: sockets do. */
export const systemTimers: Timers = {
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Errors: the signal's reason, at once when it aborts. */
export function wait(timers: Timers, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const withdraw = timers.after(delayMs, () => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    });
    const onAbort = (): void => {
      withdraw();
      reject(signal.reason);
    };
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

export interface Wait {
  readonly changed: Promise<void>;
  /** Ends this wait now. */
  cancel(): void;
}

/** Wakes all who wait for the next change of something. No promise outlives its wait. */
export class Notifier {
  readonly #waiters = new Set<() => void>();
  #shared: Promise<void> | undefined;

  /** One promise for all who ask before that change: for waits that nothing else ends. */
  get change(): Promise<void> {
    this.#shared ??= this.next().changed;
    return this.#shared;
  }

  ring(): void {
    this.#shared = undefined;
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }

  next(): Wait {
    let wake = (): void => {};
    const changed = new Promise<void>(resolve => {
      wake = resolve;
    });
    this.#waiters.add(wake);
    const cancel = () => {
      this.#waiters.delete(wake);
      wake();
    };
    return { changed, cancel };
  }
}
