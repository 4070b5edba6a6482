/**
 * The pull quota that several nodes use up together: those with the same address or the same account, as the upstream says in
 * `docker-ratelimit-source`. Each node writes its readings to Redis and takes the newest of all. Nothing waits for Redis; a node without an
 * answer that names a source knows only its own readings.
 */
import { isQuotaLow, type RateLimit } from '../../oci/rate-limit.ts';
import type { QuotaReading } from '../../registry/origin.ts';
import type { FleetCommands } from './fleet-redis.ts';

export interface SharedPullQuotaOptions {
  /** Undefined: Redis is away. */
  redis(): FleetCommands | undefined;
  /** See `FleetKeys.pullQuota`. */
  key(source: string): string;
  /** A reading of another node, newer than what was known here. */
  onReading(upstream: string, limit: RateLimit): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

interface Reading {
  readonly limit: RateLimit;
  readonly at: number;
}

/** Docker Hub's window, for a reading that names none. */
const defaultWindowSeconds = 21_600;

/** KEYS: pull quota. ARGV: upstream, reading, its time, how long to keep it in ms. A newer one stays. */
const reportScript = `
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
  local ok, reading = pcall(cjson.decode, known)
  if ok and type(reading) == 'table' and tonumber(reading.at) and reading.at > tonumber(ARGV[3]) then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
`;

export class SharedPullQuota {
  readonly #options: SharedPullQuotaOptions;
  readonly #readings = new Map<string, Reading>();

  constructor(options: SharedPullQuotaOptions) {
    this.#options = options;
  }

  /** An answer of the upstream to this node. */
  async report(upstream: string, limit: RateLimit): Promise<void> {
    const { redis, key, now } = this.#options;
    const reading = { limit, at: now() };
    this.#readings.set(upstream, reading);
    if (limit.source === undefined) return;
    const values = [upstream, JSON.stringify(reading), `${reading.at}`, `${windowMs(limit)}`];
    try {
      await redis()?.eval(reportScript, 1, key(limit.source), ...values);
    } catch {
      // away: the next answer of the upstream brings the next reading
    }
  }

  /** To be called at each heartbeat: takes newer readings of other nodes with the same source. */
  async refresh(): Promise<void> {
    const { redis, key, onReading, now } = this.#options;
    for (const [upstream, own] of [...this.#readings]) {
      if (own.limit.source === undefined) continue;
      try {
        const found = parseReading(await redis()?.hget(key(own.limit.source), upstream));
        if (found === undefined || found.at <= (this.#readings.get(upstream)?.at ?? 0) || found.at > now())
          continue;
        const limit = { ...found.limit, source: own.limit.source };
        this.#readings.set(upstream, { limit, at: found.at });
        onReading(upstream, limit);
      } catch {
        return; // away
      }
    }
  }

  /** Nearly used up, by the newest reading of this node or another one. */
  isLow(upstream: string): boolean {
    const reading = this.reading(upstream);
    return reading !== undefined && isQuotaLow(reading);
  }

  /** The newest reading of this node or another one. Undefined: none that still holds and says what is left. */
  reading(upstream: string): QuotaReading | undefined {
    const reading = this.#readings.get(upstream);
    if (reading === undefined || this.#options.now() - reading.at > windowMs(reading.limit)) return undefined;
    const { limit = 0, remaining } = reading.limit;
    return remaining === undefined
      ? undefined
      : { limit, remaining, untilMs: reading.at + windowMs(reading.limit) };
  }
}

function windowMs({ windowSeconds = defaultWindowSeconds }: RateLimit): number {
  return windowSeconds * 1000;
}

/** Not signed: a wrong reading can save pulls or cost some, and never moves a tag. */
function parseReading(text: string | null | undefined): Reading | undefined {
  const found = typeof text === 'string' ? parseJson(text) : undefined;
  if (typeof found !== 'object' || found === null) return undefined;
  const { limit, at } = found as Readonly<Record<string, unknown>>;
  if (typeof at !== 'number' || typeof limit !== 'object' || limit === null) return undefined;
  const numbers = Object.entries(limit).filter(([, value]) => typeof value === 'number');
  return { limit: Object.fromEntries(numbers), at };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
