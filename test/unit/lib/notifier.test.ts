/** Guards src/lib/wait.ts. */
import { expect, test } from 'vitest';
import { Notifier } from '../../../src/lib/wait.ts';
import { isPending } from '../cached/rig.ts';

test('a change wakes all who wait for it, once', async () => {
  const notifier = new Notifier();
  const waits = [notifier.next(), notifier.next()];
  expect(await Promise.all(waits.map(({ changed }) => isPending(changed)))).toEqual([true, true]);
  notifier.ring();
  await Promise.all(waits.map(({ changed }) => changed));
  expect(await isPending(notifier.next().changed)).toBe(true);
});

test('a change without a waiter is not kept', async () => {
  const notifier = new Notifier();
  notifier.ring();
  expect(await isPending(notifier.next().changed)).toBe(true);
});

test('a wait that is cancelled ends alone', async () => {
  const notifier = new Notifier();
  const [left, stays] = [notifier.next(), notifier.next()];
  left.cancel();
  await left.changed;
  expect(await isPending(stays.changed)).toBe(true);
  left.cancel();
  notifier.ring();
  await stays.changed;
});

test('who asks for the next change while it is woken waits for another one', async () => {
  const notifier = new Notifier();
  const again = notifier.next().changed.then(() => notifier.next().changed);
  notifier.ring();
  expect(await isPending(again)).toBe(true);
  notifier.ring();
  await again;
});

test('all who wait for one change share its promise, and who comes after it gets another', async () => {
  const notifier = new Notifier();
  const { change } = notifier;
  expect(notifier.change).toBe(change);
  notifier.ring();
  await change;
  expect(notifier.change).not.toBe(change);
  expect(await isPending(notifier.change)).toBe(true);
});
