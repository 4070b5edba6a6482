/** Which of several URLs is asked, with how much time, and what all of them together fail with. */
import { expect, test } from 'vitest';
import { UpstreamError, type UpstreamFailure } from '../../../../src/registry/upstream-error.ts';
import { FailoverClock, failOver, isRefusal } from '../../../../src/upstream/request/failover.ts';
import { failureOf } from '../rig.ts';

function failure(failure: UpstreamFailure, upstreamStatus?: number): UpstreamError {
  const rest = upstreamStatus === undefined ? {} : { upstreamStatus };
  return new UpstreamError({ upstream: 'up', kind: 'manifest', failure, message: failure, ...rest });
}

/** Each URL takes `costMs` and ends with its error; the answer says which were asked with how much time. */
async function run(urls: readonly { error?: UpstreamError; costMs?: number }[], timeoutMs = 8000) {
  let ms = 0;
  const asked: number[] = [];
  const work = failOver(urls, { timeoutMs, now: () => ms }, async ({ error, costMs = 0 }, shareMs) => {
    asked.push(shareMs);
    ms += costMs;
    if (error !== undefined) throw error;
    return 'answer';
  });
  const told = await work.catch((error: unknown) => error);
  return { asked, told };
}

test.each([
  failure('unreachable'),
  failure('timeout'),
  failure('breaker'),
  failure('paused'),
  failure('limited', 429),
  failure('mismatch'),
  failure('status', 500),
  failure('status', 503),
  failure('status', 403), // of a store or a proxy: the registry's own is `denied`
])('$failure $upstreamStatus fails over', async error => {
  expect(await run([{ error }, {}])).toEqual({ asked: [4000, 8000], told: 'answer' });
  expect(isRefusal(error)).toBe(false);
});

test.each([
  failure('gone', 404),
  failure('denied', 401),
  failure('denied', 403),
  failure('blocked'),
  failure('status', 400),
])('$failure $upstreamStatus decides', async error => {
  expect(await run([{ error }, {}])).toEqual({ asked: [4000], told: error });
  expect(isRefusal(error)).toBe(true);
});

test('a range that cannot be given ends the failover, but is no refusal', async () => {
  const error = failure('range', 416);
  expect(await run([{ error }, {}])).toEqual({ asked: [4000], told: error });
  expect(isRefusal(error)).toBe(false);
});

test('each gets an equal share of what is left, the last all of it', async () => {
  const silent = failure('timeout');
  const urls = [{ error: silent, costMs: 3000 }, { error: silent, costMs: 1000 }, {}];
  expect(await run(urls, 9000)).toEqual({ asked: [3000, 3000, 5000], told: 'answer' });
});

test('when the time is over no other URL is asked', async () => {
  const silent = failure('timeout');
  expect(await run([{ error: silent, costMs: 9000 }, {}])).toEqual({ asked: [4000], told: silent });
});

test('of several failures the one that was said now is told, and of those not asked the pause', async () => {
  const [away, paused, limited] = [failure('breaker'), failure('paused'), failure('limited', 429)];
  expect((await run([{ error: away }, { error: limited }])).told).toBe(limited);
  expect((await run([{ error: away }, { error: paused }])).told).toBe(paused);
  expect((await run([{ error: away }, { error: away }])).told).toBe(away);
});

test('what is no failure of an upstream does not fail over', async () => {
  const left = new Error('the caller left');
  const asked: string[] = [];
  const work = failOver(['a', 'b'], { timeoutMs: 1, now: () => 0 }, async member => {
    asked.push(member);
    throw left;
  });
  expect(await failureOf(work)).toMatchObject({ message: 'the caller left' });
  expect(asked).toEqual(['a']);
});

test('the time stands still while the operation waits in a queue of our own', () => {
  let nowMs = 0;
  const clock = new FailoverClock({ timeoutMs: 8000, now: () => nowMs });
  nowMs = 2000;
  clock.queued(true);
  nowMs = 100_000;
  clock.queued(false);
  expect([clock.isOver, clock.shareMs(2)]).toEqual([false, 3000]);
  nowMs = 106_000;
  expect(clock.isOver).toBe(true);
});
