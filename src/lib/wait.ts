/**
 * Waiting for work that others share. The signal ends this wait, never the work: that is what lets callers share one token
 * request, and what lets a deadline end a connection attempt that its library can't be asked to leave.
 */

/** Errors: those of `work`, or the signal's reason. */
export function waitFor<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    // A result that comes after the abort changes nothing: a promise settles once, and no rejection is left unhandled.
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** Whether `work` settled (either way) within `timeoutMs`. It goes on all the same. */
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
