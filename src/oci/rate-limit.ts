/**
 * Docker Hub's rate-limit headers (`ratelimit-limit: 100;w=21600`), sent with every manifest answer that counts or could.
 * Absent for accounts and images without a limit.
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

/** At most 5 % of the limit is left: what is left is for content that isn't held at all. */
export function isQuotaLow({ limit = 0, remaining }: RateLimit): boolean {
  return remaining !== undefined && remaining <= Math.floor(limit * 0.05);
}

function firstOf(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}

function parseQuota(value: string | undefined): { count: number; windowSeconds?: number } | undefined {
  const match = quotaPattern.exec(value ?? '');
  if (match === null) return undefined;
  return { count: Number(match[1]), ...(match[2] !== undefined && { windowSeconds: Number(match[2]) }) };
}
