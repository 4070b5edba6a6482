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
