import { expect, test } from 'vitest';
import { FairQueue } from '../../../src/lib/fair-queue.ts';
import { deferred } from '../../support/gates.ts';

const full = () => new Error('full');

function rig(options = { maxRunning: 2, maxWaitingPerKey: 80, maxWaiting: 100 }) {
  const queue = new FairQueue({ ...options, full });
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

test('a line has its bound, and all together have theirs; a full one gives its last place to a shorter line', async () => {
  const { run } = rig({ maxRunning: 1, maxWaitingPerKey: 2, maxWaiting: 3 });
  const refused: string[] = [];
  for (const [at, key] of ['a', 'a', 'a', 'a', 'b', 'b', 'c', 'd'].entries())
    run(key).catch(() => refused.push(`${key}${at}`));
  await new Promise(resolve => setImmediate(resolve));
  expect(refused.sort()).toEqual(['a2', 'a3', 'b5', 'd7']);
});

test('ten keys that fill every place with their lines do not keep another one out', async () => {
  const { run, started, gates } = rig({ maxRunning: 1, maxWaitingPerKey: 80, maxWaiting: 500 });
  for (let n = 0; n < 501; n += 1) run(`attacker ${n % 10}`).catch(() => undefined);
  const right = run('right');
  for (let n = 0; n < 11; n += 1) {
    gates[n]?.resolve();
    await new Promise(resolve => setImmediate(resolve));
  }
  expect(started).toContain('right');
  gates[started.indexOf('right')]?.resolve();
  await right;
});

test("a failure is its caller's alone, and the next one starts", async () => {
  const queue = new FairQueue({ maxRunning: 1, maxWaitingPerKey: 1, maxWaiting: 1, full });
  const failing = queue.run('a', () => Promise.reject(new Error('no')));
  const next = queue.run('a', async () => 7);
  await expect(failing).rejects.toThrow('no');
  expect(await next).toBe(7);
});
