/**
 * Opens the connection to Redis that the LRU index and the fleet share, and holds the start to `lru.required`. Without
 * `lru.redis` there is none, and ioredis isn't loaded.
 */
import { ConfigError } from '../config/problem.ts';
import type { RedisConnection } from '../redis/redis-connection.ts';
import type { AppContext } from './app-context.ts';

/**
 * Waits for the network only when Redis is required; otherwise a Redis that can't be used is a line in the log.
 * Errors: `ConfigError`, required and not usable.
 */
export async function openRedis({
  config,
  lifecycle,
  logger,
}: AppContext): Promise<RedisConnection | undefined> {
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
      throw requiredButNot(connection.address, connection.problem.message);
    },
    connection => connection.close(),
  );
}

/** For whatever else is found wrong with it at the start. */
export function requiredButNot(address: string, reason: string): ConfigError {
  const message = `Redis at ${address} can't be used, and lru.required says not to start without: ${reason}`;
  return new ConfigError([{ origin: 'lru.redis', path: '', message }]);
}
