/** Waiting for work that others share: the wait ends with the caller, the work never. */
import { getEventListeners } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { settleWithin, waitFor } from '../../../src/lib/wait.ts';
import { deferred } from '../../support/gates.ts';
import { isPending } from '../cached/rig.ts';

const never = new AbortController().signal;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

/** Unhandled rejections while `run` runs. */
async function unhandledDuring(run: () => Promise<void>): Promise<unknown[]> {
  const seen: unknown[] = [];
  const note = (reason: unknown) => seen.push(reason);
  const others = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', note);
  try {
    await run();
    for (let count = 0; count < 3; count += 1) await turn();
  } finally {
    process.removeListener('unhandledRejection', note);
    for (const listener of others) process.on('unhandledRejection', listener);
  }
  return seen;
}

test('the value and the error of the work come through', async () => {
  expect(await waitFor(Promise.resolve(7), never)).toBe(7);
  await expect(waitFor(Promise.reject(new Error('broken')), never)).rejects.toThrow('broken');
});

test('an abort ends the wait with its reason, and the work goes on', async () => {
  const work = deferred<number>();
  const controller = new AbortController();
  const waiting = waitFor(work.promise, controller.signal);
  expect(await isPending(waiting)).toBe(true);
  const reason = new Error('the client left');
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  const other = waitFor(work.promise, never);
  work.resolve(3);
  expect(await other).toBe(3);
});

test('who has left before waits for nothing', async () => {
  const reason = new Error('the client left');
  await expect(waitFor(Promise.resolve(7), AbortSignal.abort(reason))).rejects.toBe(reason);
});

test.each(['before', 'during'])(
  'work that fails after the caller left %s the wait leaves no unhandled rejection',
  async when => {
    const unhandled = await unhandledDuring(async () => {
      const work = deferred();
      const controller = new AbortController();
      if (when === 'before') controller.abort(new Error('left'));
      const waiting = waitFor(work.promise, controller.signal).catch(() => {});
      controller.abort(new Error('left'));
      await waiting;
      work.reject(new Error('the work failed'));
    });
    expect(unhandled).toEqual([]);
  },
);

test('an abort after the end changes nothing', async () => {
  const controller = new AbortController();
  const unhandled = await unhandledDuring(async () => {
    expect(await waitFor(Promise.resolve(7), controller.signal)).toBe(7);
    controller.abort(new Error('late'));
  });
  expect(unhandled).toEqual([]);
});

test('work that settles in time is told from work that does not', async () => {
  expect(await settleWithin(Promise.resolve(1), 1000)).toBe('settled');
  expect(await settleWithin(Promise.reject(new Error('broken')), 1000)).toBe('settled');
  const work = deferred();
  const settling = settleWithin(work.promise, 1000);
  await vi.advanceTimersByTimeAsync(999);
  expect(await isPending(settling)).toBe(true);
  await vi.advanceTimersByTimeAsync(1);
  expect(await settling).toBe('late');
});

test('no listener is left on the signal after the wait', async () => {
  const { signal } = new AbortController();
  await waitFor(Promise.resolve(7), signal);
  await waitFor(Promise.reject(new Error('broken')), signal).catch(() => {});
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('no timer is left behind', async () => {
  await settleWithin(Promise.resolve(1), 1000);
  expect(vi.getTimerCount()).toBe(0);
});
