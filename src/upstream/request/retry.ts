/** When a question is asked a second time, and never a third. */

export const retryDelayMs = 200;
/** A connection attempt that took that long was met with silence, not with a refusal. */
export const slowMs = 1000;

const transientStatuses: ReadonlySet<number> = new Set([502, 503, 504]);

/** Answers of what stands in front of a registry while that is restarted. Never 429: it asked us to wait. */
export function isTransient(status: number): boolean {
  return transientStatuses.has(status);
}
