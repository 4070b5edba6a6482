/** The LRU index in a real Redis: all that every LRU index must do, and what is its own: the copy, its repair, its rebuilding. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Lru, LruEntry } from '../../src/lru/lru.ts';
import { type Digest, digestOf, keyOf } from '../../src/oci/digest.ts';
import { type CreateLru, describeLru, type LruUnderTest } from '../contract/lru.ts';
import { describeEviction } from '../contract/lru-eviction.ts';
import { makeRedis, type RedisServer, startRedis } from '../support/real/redis.ts';
import { indexInRedis, openRedisLru } from '../support/redis-lru.ts';
import { requires } from '../support/requires.ts';

function blob(n: number): Digest {
  return digestOf(Buffer.from(`blob ${n}`), n % 4 === 3 ? 'sha512' : 'sha256');
}

function show(entries: readonly LruEntry[]): string[] {
  return entries.map(({ digest, size }) => `${digest} ${size}`);
}

requires('redis-server')('RedisLru', () => {
  let redis: RedisServer;
  beforeAll(async () => {
    redis = await makeRedis();
  });
  afterAll(() => redis.remove());

  const untold: CreateLru = async ({ now }) => (await openRedisLru({ port: redis.port, now })).lru;
  const compared: CreateLru = async ({ now }) => {
    const { lru, store } = await openRedisLru({ port: redis.port, now });
    const client = redis.client();
    return told(lru, async () => {
      await lru.sync();
      const { entries, bytes, sizes } = await indexInRedis(client, store);
      const own = await lru.coldest(1000);
      expect([entries, bytes, sizes]).toEqual([show(own), lru.bytes, lru.count]);
    });
  };
  describeLru('RedisLru, before Redis is told,', untold);
  describeLru('RedisLru, as Redis says,', compared);
  describeEviction('RedisLru, before Redis is told,', untold);
  describeEviction('RedisLru, as Redis says,', async ({ now }) => {
    const { lru } = await openRedisLru({ port: redis.port, now });
    return told(lru, () => lru.sync());
  });

  describe('the copy', () => {
    test('a later use that only Redis knows of counts', async () => {
      const { lru, store } = await openRedisLru({ port: redis.port });
      for (const n of [1, 2, 3]) lru.add(blob(n), n);
      await lru.sync();
      await redis.client().zadd(`cistern:{${store}}:lru`, Date.now() + 1000, keyOf(blob(1)));
      expect(show(await lru.coldest(2))).toEqual([`${blob(2)} 2`, `${blob(3)} 3`]);
    });

    test('what only Redis knows of is not given out to be evicted', async () => {
      const { lru, store } = await openRedisLru({ port: redis.port });
      lru.add(blob(1), 1);
      await lru.sync();
      await redis.client().zadd(`cistern:{${store}}:lru`, 1, keyOf(blob(2)), 2, 'foreign');
      expect(show(await lru.coldest(3))).toEqual([`${blob(1)} 1`]);
      await expect
        .poll(() => indexInRedis(redis.client(), store), { timeout: 20_000 })
        .toMatchObject({
          entries: [`${blob(1)} 1`],
        });
    });

    test('more than one page and batch, with uses that Redis was not told of', async () => {
      const { lru, store } = await openRedisLru({ port: redis.port });
      const count = 3000;
      for (let n = 0; n < count; n += 1) lru.add(blob(n), n);
      await lru.sync();
      for (let n = 0; n < 200; n += 1) lru.touch(blob(n));
      expect(show(await lru.coldest(3))).toEqual([200, 201, 202].map(n => `${blob(n)} ${n}`));
      for (let n = 200; n < 1000; n += 1) lru.remove(blob(n));
      expect(show(await lru.coldest(2))).toEqual([1000, 1001].map(n => `${blob(n)} ${n}`));
      await lru.sync();
      expect(await redis.client().zcard(`cistern:{${store}}:lru`)).toBe(count - 800);
    });

    test('two stores in one Redis know nothing of each other', async () => {
      const [one, other] = [
        await openRedisLru({ port: redis.port }),
        await openRedisLru({ port: redis.port }),
      ];
      one.lru.add(blob(1), 1);
      other.lru.add(blob(2), 2);
      await Promise.all([one.lru.sync(), other.lru.sync()]);
      one.lru.remove(blob(1));
      one.lru.remove(blob(2));
      await one.lru.sync();
      expect(await indexInRedis(redis.client(), one.store)).toEqual({ entries: [], bytes: 0, sizes: 0 });
      expect(await indexInRedis(redis.client(), other.store)).toMatchObject({ entries: [`${blob(2)} 2`] });
    });

    test('pins are copied, and again to a Redis that lost them', async () => {
      const { lru, store, connection } = await openRedisLru({ port: redis.port });
      const pinned = async () => await redis.client().scard(`cistern:{${store}}:pin`);
      lru.setPins({ digests: [blob(1), blob(3)] });
      await lru.sync();
      expect(await pinned()).toBe(2);
      await redis.client().del(`cistern:{${store}}:pin`);
      expect(connection.problem).toBeUndefined();
      lru.reachabilityChanged();
      await lru.sync();
      expect(await pinned()).toBe(2);
      lru.setPins({ digests: [] });
      await lru.sync();
      expect(await pinned()).toBe(0);
    });
  });

  describe('a restart of the mirror', () => {
    test('takes the order from Redis, what is gone from the store out of it, and what is new into it', async () => {
      const first = await openRedisLru({ port: redis.port });
      for (const n of [1, 2, 3, 4]) first.lru.add(blob(n), n);
      first.lru.touch(blob(1));
      await first.lru.close(); // tells the last second too

      const again = await openRedisLru({ port: redis.port, store: first.store, isLoaded: false });
      again.lru.beginLoading();
      const found = [1, 2, 4, 5].map(n => ({ digest: blob(n), size: n, lastUseMs: 10 * n })); // 3 was deleted
      again.lru.load(found.map(entry => (entry.digest === blob(2) ? { ...entry, size: 22 } : entry)));
      again.lru.endLoading();
      await again.lru.sync();
      const expected = [`${blob(5)} 5`, `${blob(2)} 22`, `${blob(4)} 4`, `${blob(1)} 1`];
      expect(show(await again.lru.coldest(9))).toEqual(expected);
      expect(await indexInRedis(redis.client(), first.store)).toEqual({
        entries: expected,
        bytes: 32,
        sizes: 4,
      });
      const [line] = again.log.logged.filter(text => text.includes('reconciled'));
      expect(line).toMatch(/"blobs":4.*"put":\d/);
    });

    test('does not believe last uses from the future', async () => {
      const { lru, store } = await openRedisLru({ port: redis.port, isLoaded: false });
      await redis.client().zadd(`cistern:{${store}}:lru`, Date.now() + 3_600_000, keyOf(blob(1)));
      lru.beginLoading();
      lru.load([1, 2].map(n => ({ digest: blob(n), size: n, lastUseMs: n })));
      lru.endLoading();
      await lru.sync();
      expect((await indexInRedis(redis.client(), store)).entries).toEqual([`${blob(1)} 1`, `${blob(2)} 2`]);
    });
  });

  describe('loss', () => {
    test.each(['lru', 'size', 'bytes'])(
      'of the key %s alone, as by an eviction, is noticed and repaired',
      async key => {
        const { lru, store } = await openRedisLru({ port: redis.port });
        for (const n of [1, 2, 3]) lru.add(blob(n), n);
        await lru.sync();
        await redis.client().del(`cistern:{${store}}:${key}`);
        lru.touch(blob(1));
        const expected = [`${blob(2)} 2`, `${blob(3)} 3`, `${blob(1)} 1`];
        expect(show(await lru.coldest(9))).toEqual(expected);
        await expect
          .poll(() => indexInRedis(redis.client(), store), { timeout: 20_000 })
          .toEqual({ entries: expected, bytes: 6, sizes: 3 });
        expect(show(await lru.coldest(9))).toEqual(expected);
      },
    );

    test('of half of it is noticed, and a wrong size or sum', async () => {
      const { lru, store } = await openRedisLru({ port: redis.port });
      for (const n of [1, 2, 3]) lru.add(blob(n), n);
      await lru.sync();
      const client = redis.client();
      await client.zrem(`cistern:{${store}}:lru`, keyOf(blob(1)));
      await client.hset(`cistern:{${store}}:size`, keyOf(blob(2)), 'many');
      await client.set(`cistern:{${store}}:bytes`, 'no number');
      await expect
        .poll(() => indexInRedis(client, store), { timeout: 20_000 })
        .toEqual({ entries: [1, 2, 3].map(n => `${blob(n)} ${n}`), bytes: 6, sizes: 3 });
    });
  });

  describe('without Redis', () => {
    test('everything goes on here, and Redis is told when it is back, empty', async () => {
      const own = await startRedis();
      const { lru, store } = await openRedisLru({ port: own.port });
      for (const n of [1, 2, 3]) lru.add(blob(n), n);
      await lru.sync();
      await own.kill();
      lru.touch(blob(1));
      lru.remove(blob(2));
      lru.add(blob(4), 4);
      const expected = [`${blob(3)} 3`, `${blob(1)} 1`, `${blob(4)} 4`];
      expect(show(await lru.coldest(9))).toEqual(expected);
      expect([lru.bytes, lru.count]).toEqual([8, 3]);
      await expect.poll(() => lru.isUp, { timeout: 20_000 }).toBe(false);
      await own.start();
      await expect
        .poll(() => indexInRedis(own.client(), store).catch(() => undefined), { timeout: 20_000 })
        .toEqual({ entries: expected, bytes: 8, sizes: 3 });
      expect(lru.isUp).toBe(true);
    });

    test('a full Redis that refuses to write is one line, and the index is right when it has room', async () => {
      const own = await startRedis();
      const { lru, store, log } = await openRedisLru({ port: own.port });
      await lru.sync();
      await own.client().config('SET', 'maxmemory', '1');
      lru.add(blob(1), 1);
      await expect(lru.sync()).rejects.toThrow(/OOM/);
      await expect(lru.sync()).rejects.toThrow(/OOM/);
      expect(lru.isUp).toBe(false);
      expect(show(await lru.coldest(9))).toEqual([`${blob(1)} 1`]);
      expect(log.logged.filter(line => line.includes('goes on without'))).toHaveLength(1);
      await own.client().config('SET', 'maxmemory', '0');
      await lru.sync();
      expect((await indexInRedis(own.client(), store)).entries).toEqual([`${blob(1)} 1`]);
    });

    test('foreign data under our keys is named and left alone', async () => {
      const { lru, store, log } = await openRedisLru({ port: redis.port, isLoaded: false });
      await redis.client().rpush(`cistern:{${store}}:lru`, 'theirs');
      lru.beginLoading();
      lru.endLoading();
      lru.add(blob(1), 1);
      await expect(lru.sync()).rejects.toThrow(
        `Redis holds foreign data: cistern:{${store}}:lru is a list and not a zset`,
      );
      expect(log.logged.join()).toContain('Redis holds foreign data');
      expect(await redis.client().lrange(`cistern:{${store}}:lru`, 0, -1)).toEqual(['theirs']);
      expect(show(await lru.coldest(9))).toEqual([`${blob(1)} 1`]);
    });
  });
});

/** As `lru`, but Redis has been told of everything, and is compared, before the coldest are asked for. */
function told(lru: Lru & LruUnderTest, tell: () => Promise<void>): LruUnderTest {
  return {
    touch: digest => lru.touch(digest),
    add: (digest, size) => lru.add(digest, size),
    remove: digest => lru.remove(digest),
    coldest: async count => {
      await tell();
      return lru.coldest(count);
    },
    sizeOf: digest => lru.sizeOf(digest),
    lastUseOf: digest => lru.lastUseOf(digest),
    get bytes() {
      return lru.bytes;
    },
    get count() {
      return lru.count;
    },
    beginLoading: () => lru.beginLoading(),
    load: entries => lru.load(entries),
    endLoading: () => lru.endLoading(),
    close: () => lru.close(),
  };
}
