/** Guards src/lib/wait.ts. */
import { getEventListeners } from 'node:events';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { systemTimers, wait } from '../../../src/lib/wait.ts';
import { isPending } from '../cached/rig.ts';

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

test('a delay runs once at its time, unless it is withdrawn before', () => {
  const ran: string[] = [];
  systemTimers.after(10, () => ran.push('kept'));
  const withdraw = systemTimers.after(10, () => ran.push('withdrawn'));
  withdraw();
  withdraw();
  vi.advanceTimersByTime(9);
  expect(ran).toEqual([]);
  vi.advanceTimersByTime(100);
  expect(ran).toEqual(['kept']);
});

test('a wait lasts as long as it was told, and leaves no listener', async () => {
  const { signal } = new AbortController();
  const waiting = wait(systemTimers, 10, signal);
  vi.advanceTimersByTime(9);
  expect(await isPending(waiting)).toBe(true);
  vi.advanceTimersByTime(1);
  await waiting;
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

test('the signal ends a wait at once with its reason, and no timer is left', async () => {
  const controller = new AbortController();
  const waiting = wait(systemTimers, 10, controller.signal);
  const reason = new Error('left');
  controller.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  expect(vi.getTimerCount()).toBe(0);
  await expect(wait(systemTimers, 10, controller.signal)).rejects.toBe(reason);
  expect(vi.getTimerCount()).toBe(0);
});
