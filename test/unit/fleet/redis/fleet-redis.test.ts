/** Guards src/fleet/redis/fleet-redis.ts. */
import { expect, it } from 'vitest';
import { FleetKeys, FleetRedis } from '../../../../src/fleet/redis/fleet-redis.ts';
import { digestOf } from '../../../../src/oci/digest.ts';
import { Recorder } from '../../../support/recorder.ts';

const script = { lua: 'return 1', keys: ['k'], values: ['v'] };

function rig() {
  const clock = { ms: 0 };
  const calls: string[][] = [];
  const ups: boolean[] = [];
  const replies: (() => Promise<unknown>)[] = [];
  const redis = new FleetRedis({
    redis: {
      call: (...args) => {
        calls.push(args);
        return replies.shift()?.() ?? Promise.resolve(1);
      },
    },
    logger: new Recorder().logger,
    clock: () => clock.ms,
    onUpChange: isUp => ups.push(isUp),
  });
  const fail = () => replies.push(() => Promise.reject(new Error('away')));
  const failLate = () =>
    replies.push(() => {
      clock.ms += 1000;
      return Promise.reject(new Error('no answer within 250 ms'));
    });
  return { redis, calls, ups, fail, failLate };
}

it('runs a script with its keys and values', async () => {
  const { redis, calls, ups } = rig();
  expect(redis.isUp).toBe(false);
  expect(await redis.run(script)).toEqual({ reply: 1 });
  expect(calls).toEqual([['eval', 'return 1', '1', 'k', 'v']]);
  expect([redis.isUp, ups]).toEqual([true, [true]]);
});

it('asks only by probes while Redis is away', async () => {
  const { redis, calls, ups, fail } = rig();
  fail();
  expect(await redis.run(script)).toBe('away');
  expect(await redis.run(script)).toBe('away');
  expect(redis.commands()).toBeUndefined();
  expect(calls).toHaveLength(1);
  fail();
  expect(await redis.probe(script)).toBe('away');
  expect(await redis.probe(script)).toEqual({ reply: 1 });
  expect(await redis.run(script)).toEqual({ reply: 1 });
  expect(ups).toEqual([false, true]);
});

it('asks once more when it was this process that was late', async () => {
  const { redis, calls, ups, failLate } = rig();
  failLate();
  expect(await redis.run(script)).toEqual({ reply: 1 });
  expect(calls).toHaveLength(2);
  failLate();
  failLate();
  expect(await redis.run(script)).toBe('away');
  expect(ups).toEqual([true, false]);
});

it('tells those with commands of their own, and hears from them', async () => {
  const { redis, fail, ups } = rig();
  fail();
  await expect(redis.commands()?.hget('k', 'f')).rejects.toThrow('away');
  expect(redis.commands()).toBeUndefined();
  expect(ups).toEqual([false]);
});

it('keeps its keys', () => {
  const keys = new FleetKeys('lab');
  const digest = digestOf(Buffer.from('a blob'));
  expect([
    keys.nodes,
    keys.lease(digest),
    keys.holders(digest),
    keys.tag('r/x:1'),
    keys.pullQuota('203.0.113.7'),
  ]).toEqual([
    'cistern:{lab}:nodes',
    `cistern:{lab}:lease:${digest}`,
    `cistern:{lab}:holders:${digest}`,
    'cistern:{lab}:tag:r/x:1',
    'cistern:{lab}:budget:203.0.113.7',
  ]);
});
