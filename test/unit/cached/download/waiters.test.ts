/** How long a download goes on: as long as a client waits for something of it. */
import { expect, test } from 'vitest';
import { Waiters } from '../../../../src/cached/download/waiters.ts';
import { deferred } from '../../../support/gates.ts';
import { isPending } from '../rig.ts';

test('it goes on while a range is fetched or a client has not said what it needs, and then takes no client in', async () => {
  const waiters = new Waiters();
  expect(waiters.enter()).toBe(true);
  const decided = waiters.decided();
  const range = deferred();
  waiters.addRange(range.promise);
  waiters.leave();
  expect(await isPending(decided)).toBe(true);
  expect(waiters.enter()).toBe(true);
  range.resolve();
  expect(await isPending(decided)).toBe(true);
  waiters.leave();
  expect(await decided).toBe('nothing');
  expect([waiters.isOver, waiters.enter()]).toEqual([true, false]);
});

test('as soon as the whole is requested it is the whole, whatever else runs', async () => {
  const waiters = new Waiters();
  waiters.enter();
  waiters.addRange(new Promise(() => {}));
  const decided = waiters.decided();
  expect([waiters.addWhole(), waiters.addWhole()]).toEqual([true, false]);
  expect(await decided).toBe('whole');
  expect([waiters.isOver, waiters.isWhole]).toEqual([false, true]);
});

test('its end waits for the ranges', async () => {
  const waiters = new Waiters();
  const range = deferred();
  waiters.addRange(range.promise);
  const ended = waiters.rangesEnded();
  expect(await isPending(ended)).toBe(true);
  range.resolve();
  await ended;
});
