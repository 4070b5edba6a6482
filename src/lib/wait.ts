/** One caller's wait for work that others share: the caller's signal ends the wait, never the work. */

/** Errors: those of `work`, or the signal's reason. */
export async function waitFor<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => {}); // who has left before the wait must not leave its failure to nobody
  signal.throwIfAborted();
  let onAbort: () => void = () => {};
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
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
