/**
 * A `RedisLru` on a real redis-server, as the mirror composes it, for one test; and what stands in that Redis, read by a
 * client of the test. The store of that index is taken for read: it holds what is added.
 */

import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';
import { RedisEntries } from '../../src/lru/redis/redis-entries.ts';
import { RedisLru } from '../../src/lru/redis/redis-lru.ts';
import { digestOfKey } from '../../src/oci/digest.ts';
import { RedisConnection } from '../../src/redis/redis-connection.ts';
import { Recorder } from './recorder.ts';

export interface OpenRedisLruOptions {
  readonly port: number;
  readonly now?: () => number;
  /** Left out: a new store. */
  readonly store?: string;
  /** False: the store is still being read. */
  readonly isLoaded?: boolean;
}

export interface OpenedRedisLru {
  readonly lru: RedisLru;
  readonly index: RedisEntries;
  readonly connection: RedisConnection;
  readonly store: string;
  readonly log: Recorder;
}

export async function openRedisLru(options: OpenRedisLruOptions): Promise<OpenedRedisLru> {
  const { port, now = Date.now, store = randomBytes(8).toString('hex') } = options;
  const log = new Recorder();
  const redis = {
    mode: 'single',
    addresses: [{ host: '127.0.0.1', port }],
    database: 0,
    tls: false,
  } as const;
  const connection = await RedisConnection.open({ redis, logger: log.logger });
  await connection.firstCheck;
  const index = new RedisEntries(connection, store);
  const isReachable = () => connection.problem === undefined;
  const lru = new RedisLru({ index, isReachable, logger: log.logger, now });
  connection.watch(() => lru.reachabilityChanged());
  onTestFinished(async () => {
    await lru.close();
    connection.close();
  });
  if (options.isLoaded !== false) {
    lru.beginLoading();
    lru.endLoading();
  }
  return { lru, index, connection, store, log };
}

/** What stands in Redis for a store: `DIGEST SIZE`, coldest first, and the sum. */
export async function indexInRedis(
  client: Redis,
  store: string,
): Promise<{ readonly entries: readonly string[]; readonly bytes: number; readonly sizes: number }> {
  const keyFor = (name: string) => `cistern:{${store}}:${name}`;
  const keys = await client.zrangeBuffer(keyFor('lru'), '0', '-1');
  const entries: string[] = [];
  for (const key of keys) {
    const size = await client.call('hget', keyFor('size'), key);
    entries.push(`${digestOfKey(key) ?? `foreign ${key.toString('hex')}`} ${size}`);
  }
  const [bytes, sizes] = [await client.get(keyFor('bytes')), await client.hlen(keyFor('size'))];
  return { entries, bytes: Number(bytes), sizes };
}
