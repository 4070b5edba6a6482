import { expect, test } from 'vitest';
import { FairQueue } from '../../../src/lib/fair-queue.ts';
import { deferred } from '../../support/gates.ts';

function rig(options = { maxRunning: 2, maxWaitingPerKey: 80, maxWaiting: 100 }) {
  const queue = new FairQueue(options);
  const started: string[] = [];
  const gates: ReturnType<typeof deferred<void>>[] = [];
  const run = (key: string) =>
    queue.run(key, () => {
      const gate = deferred();
      gates.push(gate);
      started.push(key);
      return gate.promise;
    });
  return { run, started, gates };
}

test('a key that comes last has the next turn but one, although 80 of another wait', async () => {
  const { run, started, gates } = rig();
  const all = Array.from({ length: 80 }, () => run('a'));
  const other = run('b');
  for (let n = 0; n < 3; n += 1) {
    gates[n]?.resolve();
    await all[n];
  }
  expect(started).toEqual(['a', 'a', 'a', 'b', 'a']);
  gates[3]?.resolve();
  await other;
});

test('a line has its bound, and all together have theirs', () => {
  const { run } = rig({ maxRunning: 1, maxWaitingPerKey: 2, maxWaiting: 3 });
  const asked = ['a', 'a', 'a', 'a', 'b', 'b', 'c'].map(key => run(key) !== undefined);
  expect(asked).toEqual([true, true, true, false, true, false, false]);
});

test("a failure is its caller's alone, and the next one starts", async () => {
  const queue = new FairQueue({ maxRunning: 1, maxWaitingPerKey: 1, maxWaiting: 1 });
  const failing = queue.run('a', () => Promise.reject(new Error('no')));
  const next = queue.run('a', async () => 7);
  await expect(failing).rejects.toThrow('no');
  expect(await next).toBe(7);
});
