/**
 * How an upstream says that it has had enough: Docker Hub's rate-limit headers (`ratelimit-limit: 100;w=21600`), which come with every
 * manifest answer that counts or could, and `Retry-After` (RFC 9110 10.2.3).
 */

export interface RateLimit {
  /** Pulls allowed in a window. */
  readonly limit?: number;
  /** Pulls left in it. */
  readonly remaining?: number;
  readonly windowSeconds?: number;
  /** Who is counted: an address, an IPv6 prefix or an account. */
  readonly source?: string;
}

export type HeaderFields = Readonly<Record<string, string | readonly string[] | undefined>>;

const maxSourceLength = 128;
/** Seconds, or a date in one of the three forms of RFC 9110 5.6.7. */
const secondsPattern = /^\d{1,10}$/;
const datePattern = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]{0,6},? [\w: -]{14,32}$/;
const quotaPattern = /^\s*(\d{1,15})(?!\d)(?:\s*;\s*w=(\d{1,15})(?!\d))?/;

/** `headers` with lower-case names, as Node and undici give them. Undefined when no header tells a number. */
export function parseRateLimit(headers: HeaderFields): RateLimit | undefined {
  const limit = parseQuota(firstOf(headers['ratelimit-limit']));
  const remaining = parseQuota(firstOf(headers['ratelimit-remaining']));
  if (limit === undefined && remaining === undefined) return undefined;
  const windowSeconds = limit?.windowSeconds ?? remaining?.windowSeconds;
  const source = firstOf(headers['docker-ratelimit-source'])?.slice(0, maxSourceLength);
  return {
    ...(limit && { limit: limit.count }),
    ...(remaining && { remaining: remaining.count }),
    ...(windowSeconds !== undefined && { windowSeconds }),
    ...(source && { source }),
  };
}

/** At most 5 % of the limit is left, which is kept for content that isn't held at all. */
export function isQuotaLow({ limit = 0, remaining }: RateLimit): boolean {
  return remaining !== undefined && remaining <= Math.floor(limit * 0.05);
}

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

function firstOf(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}

function parseQuota(value: string | undefined): { count: number; windowSeconds?: number } | undefined {
  const match = quotaPattern.exec(value ?? '');
  if (match === null) return undefined;
  return { count: Number(match[1]), ...(match[2] !== undefined && { windowSeconds: Number(match[2]) }) };
}
