/** When a run may ask: the pull limit with what stays for clients, pauses, hours, and two runs of one upstream. */
import { expect, test } from 'vitest';
import { RegistryError } from '../../../src/oci/error.ts';
import type { OriginHealth, QuotaReading } from '../../../src/registry/origin.ts';
import { UpstreamError } from '../../../src/registry/upstream-error.ts';
import { WarmGate, WarmUpstream } from '../../../src/warm/warm-gate.ts';
import { MemoryRegistry } from '../../support/memory-registry.ts';
import { TestClock } from '../../support/test-clock.ts';

const hourMs = 3_600_000;
const { signal } = new AbortController();

function rig(quota?: QuotaReading) {
  const clock = new TestClock();
  const health: { -readonly [Key in keyof OriginHealth]: OriginHealth[Key] } = {
    away: false,
    quotaLow: false,
    quota,
    pausedUntil: () => undefined,
  };
  const upstream = new WarmUpstream('docker.io', new MemoryRegistry(), () => health);
  const open = (window?: { from: number; to: number }) =>
    new WarmGate(upstream, window, { timers: clock, now: clock.now });
  return { clock, health, open };
}

test.each([
  [100, 11, true],
  [100, 10, false],
  [10, 2, true],
  [10, 1, false],
  [1, 1, false],
  [0, 1, false],
])('of a limit of %i with %i left, a run may ask: %s', async (limit, remaining, mayAsk) => {
  const { clock, open } = rig();
  const { health, open: openLimited } = rig({ limit, remaining, untilMs: clock.now() + hourMs });
  expect(health.quota?.remaining).toBe(remaining);
  const gate = openLimited();
  let asked = 0;
  void gate.counted(async () => {
    asked += 1;
  }, signal);
  await new Promise(setImmediate);
  expect(asked).toBe(mayAsk ? 1 : 0);
  expect(gate.wait === undefined).toBe(mayAsk);
  expect(await open().counted(async () => 'no limit is known', signal)).toBe('no limit is known');
});

test('after its window a reading says nothing; until then each minute is looked again', async () => {
  const { clock, health, open } = rig();
  health.quota = { limit: 100, remaining: 0, untilMs: clock.now() + 2 * hourMs };
  const gate = open();
  const asked: number[] = [];
  const startedMs = clock.now();
  const ask = async () => void asked.push(clock.now() - startedMs);
  const done = gate.counted(ask, signal);
  await clock.advance(hourMs);
  expect(gate.wait).toEqual({
    upstream: 'docker.io',
    why: 'pull-limit',
    until: new Date(startedMs + 2 * hourMs).toISOString(),
    message: expect.stringContaining('docker.io: 0 of 100 pulls left, which stay for clients; goes on at 20'),
  });
  health.quota = { ...health.quota, remaining: 50 }; // a client's answer said so
  await clock.advance(60_000);
  await done;
  expect(asked).toEqual([hourMs + 60_000]);
  expect(gate.wait).toBeUndefined();
});

test('429 without a time: the pauses double, and an answer ends that; other errors are thrown', async () => {
  const { clock, open } = rig();
  const startedMs = clock.now();
  const asked: number[] = [];
  const limited = {
    upstream: 'docker.io',
    kind: 'manifest',
    failure: 'limited',
    message: 'limited',
  } as const;
  const done = open().counted(async () => {
    asked.push((clock.now() - startedMs) / 1000);
    if (asked.length < 4) throw new UpstreamError(limited);
    return asked.length;
  }, signal);
  await clock.advance(hourMs);
  expect(await done).toBe(4);
  expect(asked).toEqual([0, 10, 30, 70]);
  const refused = open().counted(() => Promise.reject(new RegistryError('DENIED')), signal);
  await expect(refused).rejects.toMatchObject({ code: 'DENIED' });
});

test('two runs take turns: the second looks at the limit again before it asks', async () => {
  const { clock, health, open } = rig();
  health.quota = { limit: 10, remaining: 2, untilMs: clock.now() + hourMs };
  let asked = 0;
  const ask = async () => {
    await new Promise(setImmediate);
    asked += 1;
    health.quota = { limit: 10, remaining: 1, untilMs: clock.now() + hourMs };
  };
  const stop = new AbortController();
  const [first, second] = [open(), open()];
  const both = [first.counted(ask, stop.signal), second.counted(ask, stop.signal)];
  await both[0];
  await clock.advance(0);
  expect(asked).toBe(1);
  expect(second.wait?.why).toBe('pull-limit');
  stop.abort(new Error('enough'));
  await expect(both[1]).rejects.toThrow('enough');
  expect(clock.waiting).toBe(0);
});

test('outside of its hours a run neither asks nor fetches', async () => {
  const { clock, open } = rig();
  const at = new Date(clock.now());
  const minute = 60 * at.getHours() + at.getMinutes();
  const gate = open({ from: (minute + 60) % 1440, to: (minute + 120) % 1440 });
  const done = gate.transfer(signal);
  await clock.advance(59 * 60_000);
  expect(gate.wait?.why).toBe('window');
  await clock.advance(2 * 60_000);
  await done;
  await gate.transfer(signal);
  await clock.advance(hourMs);
  const late = gate.transfer(signal);
  late.catch(() => undefined);
  await clock.advance(0);
  expect(gate.wait?.why).toBe('window');
});
