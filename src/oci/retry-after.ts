/** `Retry-After` (RFC 9110 10.2.3): seconds, or a date in one of the three forms of RFC 9110 5.6.7. */

const secondsPattern = /^\d{1,10}$/;
const datePattern = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? [\w: -]{14,32}$/;

/**
 * How long to wait from `now` on (both in milliseconds; `now` since the epoch). Zero for a date that has passed,
 * undefined for a header that is absent or malformed. Not bounded: the caller knows how long is too long.
 */
export function parseRetryAfter(header: string | undefined, now: number): number | undefined {
  const text = header?.trim() ?? '';
  if (secondsPattern.test(text)) return Number(text) * 1000;
  if (!datePattern.test(text)) return undefined;
  const date = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`); // the asctime form has no zone and means GMT
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
