/**
 * Waiting for work that somebody else owns. The signal ends this wait, never the work: that is what lets callers share
 * one token request, and what lets a budget end a connection attempt that undici itself can't be asked to leave.
 */

/** Errors: what `work` fails with, or the signal's reason. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    // A result that comes after the abort finds nobody: settling twice does nothing, and no rejection is left unhandled.
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
