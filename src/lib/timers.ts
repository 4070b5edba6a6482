/** Delays that a test can replace: deadlines, retries and probes of upstreams wait by them. */

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
