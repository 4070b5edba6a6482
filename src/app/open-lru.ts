/** Opens the LRU index: in this process, or in Redis where `lru.redis` says so. */
import { EmbeddedLru, type LoadableLru } from '../lru/index/embedded-lru.ts';
import type { Lru } from '../lru/lru.ts';
import type { RedisAccess, RedisEntries } from '../lru/redis/redis-entries.ts';
import type { Digest } from '../oci/digest.ts';
import type { RedisConnection } from '../redis/redis-connection.ts';
import type { AppContext } from './app-context.ts';
import { requiredButNot } from './open-redis.ts';

export interface OpenedLru {
  readonly lru: Lru & LoadableLru;
  /** For metrics and `/readyz`. */
  state(): { readonly backend: 'embedded' | 'redis'; readonly up: boolean };
  /** The pinned digests changed: Redis gets a copy. */
  pinsChanged(pinned: () => Iterable<Digest>): void;
}

/** A busy machine may let one command time out; all of the index' commands may be repeated. */
const attempts = 3;

/** `redis`: the mirror's connection, when Redis is configured. Errors: `ConfigError`, required and not usable. */
export async function openLru(
  storeId: string,
  redis: RedisConnection | undefined,
  { config, lifecycle, logger, now }: AppContext,
): Promise<OpenedLru> {
  if (redis === undefined) {
    const lru = new EmbeddedLru({ now });
    return { lru, state: () => ({ backend: 'embedded', up: true }), pinsChanged: () => {} };
  }
  const [{ RedisLru }, { RedisEntries }] = await Promise.all([
    import('../lru/redis/redis-lru.ts'),
    import('../lru/redis/redis-entries.ts'),
  ]);
  const index: RedisEntries = new RedisEntries(patient(redis), storeId);
  if (config.lru.required) {
    await index.check().catch((error: unknown) => {
      throw requiredButNot(redis.address, error instanceof Error ? error.message : String(error));
    });
  }
  const isReachable = (): boolean => redis.problem === undefined;
  const lru = await lifecycle.start(
    'LRU index',
    () => new RedisLru({ index, isReachable, logger, now }),
    part => part.close(),
  );
  redis.watch(() => lru.reachabilityChanged());
  return {
    lru,
    state: () => ({ backend: 'redis', up: lru.isUp }),
    pinsChanged: pinned => lru.setPins(pinned),
  };
}

function patient(redis: RedisConnection): RedisAccess {
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
