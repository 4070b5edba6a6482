/** Single flight: how often work runs, and who hears of its end. */
import { expect, test } from 'vitest';
import { SingleFlight } from '../../../src/lib/single-flight.ts';
import { deferred } from '../../support/gates.ts';

const never = new AbortController().signal;

test('those who ask while work runs share it, and all but the first have joined', async () => {
  const calls = new SingleFlight<number>();
  const work = deferred<number>();
  let runs = 0;
  const ask = () =>
    calls.run('key', never, () => {
      runs += 1;
      return work.promise;
    });
  const asked = [ask(), ask(), ask()];
  work.resolve(7);
  expect(await Promise.all(asked)).toEqual([
    { value: 7, joined: false },
    { value: 7, joined: true },
    { value: 7, joined: true },
  ]);
  expect(runs).toBe(1);
});

test('other keys are other work', async () => {
  const calls = new SingleFlight<string>();
  const asked = ['a', 'b'].map(key => calls.run(key, never, async () => key));
  expect((await Promise.all(asked)).map(({ value }) => value)).toEqual(['a', 'b']);
});

test('nothing is remembered: after the end, good or bad, the next one runs again', async () => {
  const calls = new SingleFlight<number>();
  const failing = calls.run('key', never, () => Promise.reject(new Error('broken')));
  const joined = calls.run('key', never, async () => 1);
  await expect(failing).rejects.toThrow('broken');
  await expect(joined).rejects.toThrow('broken');
  expect(await calls.run('key', never, async () => 2)).toEqual({ value: 2, joined: false });
  expect(await calls.run('key', never, async () => 3)).toEqual({ value: 3, joined: false });
});

test('the one who started it may leave: the others get the answer', async () => {
  const calls = new SingleFlight<number>();
  const work = deferred<number>();
  const controller = new AbortController();
  const first = calls.run('key', controller.signal, () => work.promise);
  const second = calls.run('key', never, async () => 0);
  const reason = new Error('left');
  controller.abort(reason);
  await expect(first).rejects.toBe(reason);
  work.resolve(7);
  expect(await second).toEqual({ value: 7, joined: true });
});

test('work whose callers have all left ends by itself, and its failure stays unseen', async () => {
  const calls = new SingleFlight<number>();
  const work = deferred<number>();
  const controller = new AbortController();
  const asked = calls.run('key', controller.signal, () => work.promise);
  controller.abort(new Error('left'));
  await expect(asked).rejects.toThrow('left');
  work.reject(new Error('broken')); // vitest fails the run on an unhandled rejection
  await expect(calls.run('key', never, async () => 1)).rejects.toThrow('broken');
  expect(await calls.run('key', never, async () => 2)).toEqual({ value: 2, joined: false });
});

test('the age is that of the running work, and 0 when none runs', async () => {
  const calls = new SingleFlight<number>();
  const work = deferred<number>();
  expect(calls.ageMs('key')).toBe(0);
  const asked = calls.run('key', never, () => work.promise);
  const young = calls.ageMs('key');
  while (calls.ageMs('key') === young) await Promise.resolve();
  expect(calls.ageMs('key')).toBeGreaterThan(young);
  expect(calls.ageMs('other')).toBe(0);
  work.resolve(1);
  await asked;
  expect(calls.ageMs('key')).toBe(0);
});
