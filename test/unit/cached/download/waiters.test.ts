/** How long a download goes on: as long as somebody wants something of it. */
import { expect, test } from 'vitest';
import { Waiters } from '../../../../src/cached/download/waiters.ts';
import { deferred } from '../../../support/gates.ts';
import { isPending } from '../rig.ts';

test('it goes on while a range is fetched or somebody is about to say what they want, and then takes nobody in', async () => {
  const wants = new Waiters();
  expect(wants.enter()).toBe(true);
  const decided = wants.decided();
  const range = deferred();
  wants.addRange(range.promise);
  wants.leave();
  expect(await isPending(decided)).toBe(true);
  expect(wants.enter()).toBe(true);
  range.resolve();
  expect(await isPending(decided)).toBe(true);
  wants.leave();
  expect(await decided).toBe('nothing');
  expect([wants.isOver, wants.enter()]).toEqual([true, false]);
});

test('as soon as all of it is wanted it is all of it, whatever else runs', async () => {
  const wants = new Waiters();
  wants.enter();
  wants.addRange(new Promise(() => {}));
  const decided = wants.decided();
  expect([wants.addWhole(), wants.addWhole()]).toEqual([true, false]);
  expect(await decided).toBe('whole');
  expect([wants.isOver, wants.isWhole]).toEqual([false, true]);
});

test('its end waits for the ranges', async () => {
  const wants = new Waiters();
  const range = deferred();
  wants.addRange(range.promise);
  const ended = wants.rangesEnded();
  expect(await isPending(ended)).toBe(true);
  range.resolve();
  await ended;
});
