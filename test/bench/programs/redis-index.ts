/**
 * The LRU index in a Redis of 127.0.0.1, as the mirror composes it. A file of its own, so that the embedded index is
 * measured without what Redis needs. It logs to standard error.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { RedisEntries } from '../../../src/lru/redis/redis-entries.ts';
import { RedisLru } from '../../../src/lru/redis/redis-lru.ts';
import { RedisConnection } from '../../../src/redis/redis-connection.ts';
import type { LogFields, Logger } from '../../../src/telemetry/logger.ts';
import type { MeasuredIndex } from './measured-index.ts';

const maxAttempts = 600;

export async function openRedisIndex(port: number): Promise<MeasuredIndex> {
  const redis = {
    mode: 'single',
    addresses: [{ host: '127.0.0.1', port }],
    database: 0,
    tls: false,
  } as const;
  const connection = await RedisConnection.open({ redis, logger });
  await connection.firstCheck;
  const index = new RedisEntries(connection, '0123456789abcdef');
  const isReachable = (): boolean => connection.problem === undefined;
  const lru = new RedisLru({ index, isReachable, logger, now: Date.now });
  return {
    lru,
    settle: () => settle(lru),
    doubt: () => lru.reachabilityChanged(),
    close: async () => {
      await lru.close();
      connection.close();
    },
  };
}

/** A busy process may miss an answer; the copy goes on by itself then. Errors: that of the last of many attempts. */
async function settle(lru: RedisLru): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await lru.sync();
    } catch (error) {
      if (attempt === maxAttempts) throw error;
      await delay(100);
    }
  }
}

function say(message: string, fields: LogFields = {}): void {
  process.stderr.write(`${message} ${JSON.stringify(fields)}\n`);
}

const logger: Logger = { debug: say, info: say, warn: say, error: say, child: () => logger };
