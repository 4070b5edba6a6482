/**
 * A mirror whose LRU index is in Redis, pulled from and evicting all the time, while Redis is killed, paused, emptied, made
 * read-only or too small: no pull fails, no byte is wrong, and afterwards the index is what the store holds.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { get } from '../support/client.ts';
import { type BlobContent, patternBlob } from '../support/content.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { unusedPort } from '../support/ports.ts';
import { type RedisServer, startRedis } from '../support/real/redis.ts';
import { indexInRedis } from '../support/redis-lru.ts';
import { startRedisProxy } from '../support/redis-proxy.ts';
import { requires } from '../support/requires.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const repository = 'library/mixed';
const blobBytes = 50_000;
const blobs = Array.from({ length: 40 }, (_, n) => patternBlob(`redis away ${n}`, blobBytes + n));

async function startMirrorOn(redisPort: number, config = {}): Promise<TestMirror> {
  const upstream = await startFakeUpstream();
  for (const blob of blobs) upstream.putBlob(repository, blob.digest, blob);
  const mirror = await startTestMirror({
    upstream,
    config: {
      store: { max_size: 25 * blobBytes, low_watermark: '80%' },
      lru: { redis: `redis://127.0.0.1:${redisPort}` },
      ...config,
    },
  });
  await mirror.settled();
  return mirror;
}

/** Pulls all the time until the end of the test or `stop`. */
class Load {
  readonly wrong: string[] = [];
  #pulls = 0;
  #isOver = false;
  readonly #workers: readonly Promise<void>[];

  constructor(mirror: TestMirror) {
    this.#workers = [1, 7, 11].map(step => this.#work(mirror, step));
    onTestFinished(() => this.stop());
  }

  /** Resolves when so many more blobs were pulled. */
  async pulls(count: number): Promise<void> {
    const goal = this.#pulls + count;
    await expect.poll(() => this.#pulls >= goal, { timeout: 30_000 }).toBe(true);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#workers);
  }

  async #work(mirror: TestMirror, step: number): Promise<void> {
    for (let n = step; !this.#isOver; n += step) {
      const blob = blobs[n % blobs.length];
      if (blob === undefined) continue;
      const wrong = await pull(mirror, blob).catch((error: unknown) => String(error));
      if (wrong !== undefined) this.wrong.push(wrong);
      this.#pulls += 1;
    }
  }
}

async function pull(mirror: TestMirror, blob: BlobContent): Promise<string | undefined> {
  const { status, sha256 } = await get(mirror.url, `/v2/${repository}/blobs/${blob.digest}`);
  return status === 200 && sha256 === blob.digest ? undefined : `${blob.digest}: ${status} ${sha256}`;
}

async function ready(mirror: TestMirror): Promise<{ status: number; lru: unknown }> {
  const { status, body } = await get(mirror.url, '/readyz');
  const { lru }: { lru?: unknown } = JSON.parse(body.toString());
  return { status, lru };
}

/** `DIGEST SIZE` of each blob file, sorted. */
async function storeOf(mirror: TestMirror): Promise<string[]> {
  const folder = join(mirror.storePath, 'blobs-v1', 'sha256');
  const files = await filesUnder(folder);
  const lines = files.map(async file => `sha256:${file.slice(3)} ${(await stat(join(folder, file))).size}`);
  return (await Promise.all(lines)).sort();
}

/** The index in Redis is the store, within the 10 s that are promised. */
async function expectInStep(mirror: TestMirror, redis: RedisServer): Promise<void> {
  const store = (await readFile(join(mirror.storePath, 'id'), 'utf8')).trim();
  const look = async () => {
    const held = await storeOf(mirror);
    const { entries, bytes, sizes } = await indexInRedis(redis.client(), store);
    const isSame = JSON.stringify(entries.toSorted()) === JSON.stringify(held);
    const sum = held.reduce((total, line) => total + Number(line.split(' ')[1]), 0);
    return isSame && bytes === sum && sizes === held.length ? 'in step' : { held, entries, bytes, sizes };
  };
  await expect.poll(look, { timeout: 10_000, interval: 100 }).toBe('in step');
}

interface Disturbance {
  readonly name: string;
  start(redis: RedisServer): Promise<void> | void;
  end(redis: RedisServer): Promise<void> | void;
}

const disturbances: readonly Disturbance[] = [
  { name: 'killed', start: redis => redis.kill(), end: redis => redis.start() },
  { name: 'paused', start: redis => redis.pause(), end: redis => redis.resume() },
  {
    name: 'read-only',
    start: async redis => void (await redis.client().replicaof('127.0.0.1', await unusedPort())),
    end: async redis => void (await redis.client().replicaof('NO', 'ONE')),
  },
  {
    name: 'full, evicting keys',
    start: async redis => {
      await redis.client().config('SET', 'maxmemory-policy', 'allkeys-random');
      await redis.client().config('SET', 'maxmemory', '1');
    },
    end: async redis => void (await redis.client().config('SET', 'maxmemory', '0')),
  },
];

requires('redis-server')('with the LRU index in Redis', () => {
  test.each(disturbances)('Redis is $name', async ({ start, end }) => {
    const redis = await startRedis();
    const mirror = await startMirrorOn(redis.port);
    const load = new Load(mirror);
    await load.pulls(100);
    expect(await ready(mirror)).toEqual({ status: 200, lru: 'redis' });
    expect(await mirror.metric('cistern_lru_up{backend="redis"}')).toBe(1);

    await start(redis);
    await expect.poll(() => ready(mirror), { timeout: 20_000 }).toEqual({ status: 200, lru: 'degraded' });
    expect(await mirror.metric('cistern_lru_up{backend="redis"}')).toBe(0);
    const evicted = await mirror.metric('cistern_evictions_total');
    await load.pulls(200);
    expect(await mirror.metric('cistern_evictions_total')).toBeGreaterThan(evicted);

    await end(redis);
    await expect.poll(() => ready(mirror), { timeout: 20_000 }).toEqual({ status: 200, lru: 'redis' });
    await load.pulls(100);
    await load.stop();
    await expect.poll(async () => (await storeOf(mirror)).length).toBeGreaterThan(15); // nothing went but for room
    await expectInStep(mirror, redis);
    expect(load.wrong).toEqual([]);
    const complaints = mirror.log.filter(({ msg }) => /cannot be used|goes on without/.test(String(msg)));
    expect(complaints).toHaveLength(1);
  });

  test('Redis is emptied, and loses single keys, while it answers', async () => {
    const redis = await startRedis();
    const mirror = await startMirrorOn(redis.port);
    const load = new Load(mirror);
    for (const pattern of ['*', '*:lru', '*:size', '*:bytes']) {
      await load.pulls(50);
      const keys = await redis.client().keys(pattern);
      if (keys.length > 0) await redis.client().del(...keys);
    }
    await load.pulls(50);
    await load.stop();
    await expect.poll(async () => (await storeOf(mirror)).length).toBeGreaterThan(15); // nothing was thrown away with the keys
    await expectInStep(mirror, redis);
    expect(load.wrong).toEqual([]);
  });

  test('a hit makes no round trip, and waits for none', async () => {
    const redis = await startRedis();
    const proxy = await startRedisProxy(redis.port);
    const mirror = await startMirrorOn(proxy.port, { store: { max_size: 0 } });
    for (const blob of blobs) expect(await pull(mirror, blob)).toBeUndefined();
    await expectInStep(mirror, redis);
    const before = proxy.commands.length;
    const rounds = 15;
    const hits = rounds * blobs.length;
    for (let round = 0; round < rounds; round += 1)
      for (const blob of blobs) expect(await pull(mirror, blob)).toBeUndefined();
    expect(
      await mirror.metric(
        `cistern_requests_total{upstream="docker.io",kind="blob",method="GET",status="200",outcome="hit"}`,
      ),
    ).toBe(hits);
    const during = proxy.commands.slice(before);
    expect(during.filter(name => !['hello', 'ping', 'evalsha'].includes(name))).toEqual([]);
    expect(during.length).toBeLessThan(hits / 5); // what goes on once a second

    proxy.hold();
    for (const blob of blobs) expect(await pull(mirror, blob)).toBeUndefined();
  });

  test('a restart takes the order of last uses from Redis, not from the file times', async () => {
    const redis = await startRedis();
    const first = await startMirrorOn(redis.port, { store: { max_size: 0 } });
    const [a, b, c] = blobs;
    if (a === undefined || b === undefined || c === undefined) throw new Error('expected blobs');
    for (const [before, blob] of [a, b, c].entries()) {
      expect(await pull(first, blob)).toBeUndefined();
      await expect.poll(() => first.metric('cistern_store_blobs')).toBe(before + 1); // it is kept after the last byte
    }
    expect(await pull(first, a)).toBeUndefined();
    await first.close();
    const store = (await readFile(join(first.storePath, 'id'), 'utf8')).trim();
    const order = (await indexInRedis(redis.client(), store)).entries.map(entry => entry.split(' ')[0]);
    expect(order).toEqual([b.digest, c.digest, a.digest]);
    const again = await startTestMirror({
      storePath: first.storePath,
      config: { lru: { redis: redis.url } },
    });
    await again.settled();
    await expectInStep(again, redis);
    expect((await indexInRedis(redis.client(), store)).entries.map(entry => entry.split(' ')[0])).toEqual(
      order,
    );
    expect(await readdir(join(first.storePath, 'blobs-v1', 'sha256'))).toHaveLength(3);
  });
});
