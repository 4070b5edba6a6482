/** Guards src/fleet/redis/shared-pull-quota.ts with a real Redis. */
import { beforeEach, expect, test } from 'vitest';
import { SharedPullQuota } from '../../../../src/fleet/redis/shared-pull-quota.ts';
import type { RateLimit } from '../../../../src/oci/rate-limit.ts';
import { type RedisServer, startRedis } from '../../../support/real/redis.ts';
import { requires } from '../../../support/requires.ts';

const hub = 'docker.io';
const source = '203.0.113.7';
const keyOf = (name: string) => `cistern:{lab}:budget:${name}`;

requires('redis-server')('a pull quota that nodes use up together', () => {
  let redis: RedisServer;
  let nowMs: number;
  let told: (readonly [node: string, upstream: string, limit: RateLimit])[];

  beforeEach(async () => {
    redis = await startRedis();
    nowMs = 1_700_000_000_000;
    told = [];
  });

  function node(name: string): SharedPullQuota {
    const client = redis.client();
    return new SharedPullQuota({
      redis: () => client,
      key: keyOf,
      onReading: (upstream, limit) => told.push([name, upstream, limit]),
      now: () => nowMs,
    });
  }

  const reading = (remaining: number, from = source): RateLimit => ({
    limit: 100,
    remaining,
    windowSeconds: 21_600,
    source: from,
  });

  test('a node that is counted with another one takes its newer reading', async () => {
    const [a, b] = [node('a'), node('b')];
    await a.report(hub, reading(90));
    nowMs += 1;
    await b.report(hub, reading(5));
    await a.refresh();
    await b.refresh();
    expect(told).toEqual([['a', hub, reading(5)]]);
    expect([a.isLow(hub), b.isLow(hub)]).toEqual([true, true]);
    expect(a.reading(hub)).toEqual({ limit: 100, remaining: 5, untilMs: nowMs + 21_600_000 });
  });

  test('an older reading never takes the place of a newer one', async () => {
    const [a, b] = [node('a'), node('b')];
    await a.report(hub, reading(50));
    nowMs -= 1000; // the clock of b is behind
    await b.report(hub, reading(90));
    nowMs += 1000;
    await b.refresh();
    expect(told).toEqual([['b', hub, reading(50)]]);
  });

  test('other sources and other upstreams are none of its business', async () => {
    const [a, b] = [node('a'), node('b')];
    await a.report(hub, reading(90));
    nowMs += 1;
    await b.report(hub, reading(5, '198.51.100.1'));
    await b.report('ghcr.io', reading(5));
    await a.refresh();
    expect(told).toEqual([]);
    expect([a.isLow(hub), a.isLow('ghcr.io')]).toEqual([false, false]);
  });

  test('a reading without a source stays with its node', async () => {
    const a = node('a');
    await a.report(hub, { limit: 100, remaining: 3 });
    expect(await redis.client().keys('*')).toEqual([]);
    expect(a.isLow(hub)).toBe(true);
  });

  test('after its window it says nothing any more, here and in Redis', async () => {
    const a = node('a');
    await a.report(hub, reading(3));
    const keptMs = await redis.client().pttl(keyOf(source));
    expect(keptMs).toBeGreaterThan(21_000_000);
    expect(keptMs).toBeLessThanOrEqual(21_600_000);
    nowMs += 21_600_001;
    expect(a.isLow(hub)).toBe(false);
  });

  test.each(['no JSON', '[]', '{"limit":{"remaining":"none"},"at":"now"}'])(
    '%s in its place does no harm and is written over',
    async junk => {
      const [a, b] = [node('a'), node('b')];
      await a.report(hub, reading(90));
      await redis.client().hset(keyOf(source), hub, junk);
      await a.refresh();
      expect(told).toEqual([]);
      nowMs += 1;
      await b.report(hub, reading(80));
      await a.refresh();
      expect(told).toEqual([['a', hub, reading(80)]]);
    },
  );

  test('a reading from the future is not believed', async () => {
    const a = node('a');
    await a.report(hub, reading(90));
    const limit = reading(0);
    await redis.client().hset(keyOf(source), hub, JSON.stringify({ limit, at: nowMs + 3_600_000 }));
    await a.refresh();
    expect(told).toEqual([]);
  });

  test('without Redis it knows its own readings', async () => {
    const a = node('a');
    await redis.kill();
    await a.report(hub, reading(3));
    await a.refresh();
    expect(a.isLow(hub)).toBe(true);
  });
});
