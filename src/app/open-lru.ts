/**
 * Opens the connection to Redis that the LRU index and the fleet share, and the LRU index: in Redis where `lru.redis` says
 * so, else in this process. Without `lru.redis`, ioredis isn't loaded. A start with `lru.required` fails without Redis.
 */
import { ConfigError } from '../config/problem.ts';
import { EmbeddedLru } from '../lru/index/embedded-lru.ts';
import type { LoadableLru, Lru } from '../lru/lru.ts';
import type { RedisAccess } from '../lru/redis/redis-entries.ts';
import type { Digest } from '../oci/digest.ts';
import type { RedisConnection } from '../redis/redis-connection.ts';
import type { AppContext } from './app-context.ts';

export interface OpenedLru {
  readonly lru: Lru & LoadableLru;
  /** For metrics and `/readyz`. */
  state(): { readonly backend: 'embedded' | 'redis'; readonly up: boolean };
  /** Redis gets a copy of the pinned digests, and another one after each `pinsChanged`. */
  setPins(pins: { readonly digests: Iterable<Digest> }): void;
  pinsChanged(): void;
}

/** A busy machine may let one command time out; every command of the index may be repeated. */
const attempts = 3;

/**
 * Waits for the network only when Redis is required; otherwise an unusable Redis is a line in the log.
 * Errors: `ConfigError`, required and not usable.
 */
export async function openRedis(context: AppContext): Promise<RedisConnection | undefined> {
  const { config, lifecycle, logger } = context;
  const { redis, required } = config.lru;
  if (redis === undefined) return undefined;
  const { RedisConnection } = await import('../redis/redis-connection.ts');
  return lifecycle.start(
    'connection to Redis',
    async () => {
      const connection = await RedisConnection.open({ redis, logger });
      if (!required) return connection;
      await connection.firstCheck;
      if (connection.problem === undefined) return connection;
      connection.close();
      throw requiredError(connection.address, connection.problem.message);
    },
    connection => connection.close(),
  );
}

/**
 * `redis`: the mirror's connection, when Redis is configured. `mayHold` says no for hosted content. Errors: `ConfigError`,
 * required and not usable.
 */
export async function openLru(
  storeId: string,
  redis: RedisConnection | undefined,
  mayHold: (digest: Digest) => boolean,
  { config, lifecycle, logger, now }: AppContext,
): Promise<OpenedLru> {
  if (redis === undefined) {
    return {
      lru: new EmbeddedLru({ now, mayHold }),
      state: () => ({ backend: 'embedded', up: true }),
      setPins: () => {},
      pinsChanged: () => {},
    };
  }
  const [{ RedisLru }, { RedisEntries }] = await Promise.all([
    import('../lru/redis/redis-lru.ts'),
    import('../lru/redis/redis-entries.ts'),
  ]);
  const index = new RedisEntries(repeatSilent(redis), storeId);
  if (config.lru.required) {
    await index.check().catch((error: unknown) => {
      throw requiredError(redis.address, error instanceof Error ? error.message : String(error));
    });
  }
  const isReachable = (): boolean => redis.problem === undefined;
  const lru = await lifecycle.start(
    'LRU index',
    () => new RedisLru({ index, isReachable, mayHold, logger, now }),
    part => part.close(),
  );
  redis.watch(() => lru.reachabilityChanged());
  return {
    lru,
    state: () => ({ backend: 'redis', up: lru.isUp }),
    setPins: pins => lru.setPins(pins),
    pinsChanged: () => lru.pinsChanged(),
  };
}

function requiredError(address: string, reason: string): ConfigError {
  const message = `Redis at ${address} can't be used, and lru.required says not to start without: ${reason}`;
  return new ConfigError([{ origin: 'lru.redis', path: '', message }]);
}

/** Repeats commands that timed out. */
function repeatSilent(redis: RedisConnection): RedisAccess {
  return {
    call: (...command) => repeat(() => redis.call(...command)),
    callBuffer: (...command) => repeat(() => redis.callBuffer(...command)),
    run: (...script) => repeat(() => redis.run(...script)),
  };
}

async function repeat<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = attempts - 1; ; left -= 1) {
    try {
      return await attempt();
    } catch (error) {
      const isSilent = error instanceof Error && 'kind' in error && error.kind === 'silent';
      if (!isSilent || left === 0) throw error;
    }
  }
}
