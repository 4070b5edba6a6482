/** Guards src/lib/limit.ts. */
import { expect, test } from 'vitest';
import { Limit } from '../../../src/lib/limit.ts';
import { deferred } from '../../support/gates.ts';

test('two at once, the others in line, and who finds the line full is turned away', async () => {
  const limit = new Limit({ maxRunning: 2, maxWaiting: 3 });
  const gate = deferred();
  let running = 0;
  let peak = 0;
  const work = async () => {
    running += 1;
    peak = Math.max(peak, running);
    await gate.promise;
    running -= 1;
  };
  const taken = Array.from({ length: 5 }, () => limit.run(work));
  await expect(limit.run(work)).rejects.toMatchObject({ name: 'LimitExceeded' });
  gate.resolve();
  await Promise.all(taken);
  expect(peak).toBe(2);
  await expect(limit.run(async () => Promise.reject(new Error('x')))).rejects.toThrow('x');
  await limit.run(work);
});

test('a caller that leaves the line takes no place', async () => {
  const limit = new Limit({ maxRunning: 1 });
  const release = await limit.acquire(new AbortController().signal);
  const leaving = new AbortController();
  const left = limit.acquire(leaving.signal);
  const next = limit.acquire(new AbortController().signal);
  leaving.abort(new Error('left'));
  await expect(left).rejects.toThrow('left');
  release();
  (await next)();
  await expect(limit.acquire(leaving.signal)).rejects.toThrow('left');
});
