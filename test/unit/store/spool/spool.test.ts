import { appendFile, mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Spool, type SpoolLimits } from '../../../../src/store/spool/spool.ts';
import { Recorder } from '../../../support/recorder.ts';
import { makeTempDir, tempDir } from '../../../support/temp-dir.ts';

const day = 86_400_000;
const wide: SpoolLimits = { entries: 10_000, bytes: 64 * 1024 * 1024, ageMs: day };

interface Lost {
  count: number;
}

/** Time is what `clock.now` says. */
function openSpool(
  folder: string,
  limits = wide,
  lost: Lost = { count: 0 },
  clock = { now: 0 },
): Promise<Spool> {
  return Spool.open({
    folder,
    limits,
    observer: new Recorder().observer,
    onLost: count => {
      lost.count += count;
    },
    now: () => clock.now,
  });
}

/** Takes and marks as sent, at most `count`. */
async function drain(spool: Spool, count = Number.POSITIVE_INFINITY): Promise<unknown[]> {
  const values: unknown[] = [];
  while (values.length < count) {
    const entry = await spool.take();
    if (entry === undefined) break;
    values.push(entry.value);
    await spool.done(entry);
  }
  return values;
}

const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n);

test('gives back in order what was appended, over restarts, and what was taken without done again', async () => {
  const folder = await tempDir();
  const first = await openSpool(folder);
  for (const n of numbers(0, 700)) first.append(n);
  expect(first.waiting).toBe(700);
  expect(await drain(first, 300)).toEqual(numbers(0, 300));
  expect((await first.take())?.value).toBe(300);
  await first.flush();
  const second = await openSpool(folder); // as after a kill
  expect(second.waiting).toBe(400);
  for (const n of numbers(700, 710)) second.append(n);
  expect(await drain(second)).toEqual(numbers(300, 710));
  expect(await second.take()).toBeUndefined();
  expect(second.waiting).toBe(0);
  expect((await openSpool(folder)).waiting).toBe(0);
});

test('keeps to its limits by events and by bytes; the oldest go, and each is counted once', async () => {
  const folder = await tempDir();
  const lost = { count: 0 };
  const spool = await openSpool(folder, { ...wide, entries: 1000 }, lost);
  for (const n of numbers(0, 600)) spool.append(n);
  await spool.flush();
  const taken = await spool.take();
  for (const n of numbers(600, 5000)) {
    spool.append(n);
    if (n % 333 === 0) await spool.flush();
  }
  await spool.flush();
  expect(lost.count).toBe(3999); // the one that is being sent may still arrive
  if (taken !== undefined) await spool.done(taken);
  expect(await drain(spool)).toEqual(numbers(4000, 5000));
  expect(lost.count).toBe(3999);

  const large = 'x'.repeat(10_000);
  const small = await openSpool(join(folder, 'small'), { ...wide, bytes: 3 * 1024 * 1024 }, lost);
  for (const n of numbers(0, 1000)) {
    small.append({ n, large });
    if (n % 50 === 0) await small.flush();
    expect(small.bytes).toBeLessThan(4.2 * 1024 * 1024);
  }
  await small.flush();
  const left = await drain(small);
  expect(left.length).toBeGreaterThan(200);
  expect(left.at(-1)).toEqual({ n: 999, large });
  expect(lost.count - 3999 + left.length).toBe(1000);
});

test('a burst within one turn is bounded in memory too', async () => {
  const lost = { count: 0 };
  const spool = await openSpool(await tempDir(), { ...wide, entries: 100 }, lost);
  for (const n of numbers(0, 5000)) spool.append(n);
  expect(spool.waiting).toBe(100);
  expect(await drain(spool)).toEqual(numbers(4900, 5000));
  expect(lost.count).toBe(4900);
});

test('torn and damaged lines are left out and counted; what was appended after a crash is not torn', async () => {
  const folder = await tempDir();
  const first = await openSpool(folder);
  for (const n of numbers(0, 5)) first.append(n);
  await first.flush();
  const [name = ''] = (await readdir(folder)).filter(file => file.endsWith('.log'));
  await appendFile(join(folder, name), '01234567 {"number":5,"at":0,"va');
  const lost = { count: 0 };
  const second = await openSpool(folder, wide, lost);
  second.append('after');
  await second.flush();
  const text = await readFile(join(folder, name), 'utf8');
  await writeFile(join(folder, name), text.replace('"value":2', '"value":7'));
  expect(await drain(second)).toEqual([0, 1, 3, 4, 'after']);
  expect(lost.count).toBe(1);
});

test('without its position it sends all again; a rewind does so on purpose, and leaves out what is too old', async () => {
  const folder = await tempDir();
  const clock = { now: 1000 };
  const lost = { count: 0 };
  const spool = await openSpool(folder, wide, lost, clock);
  for (const n of numbers(0, 300)) spool.append(n);
  await spool.flush();
  clock.now += day / 2;
  for (const n of numbers(300, 310)) spool.append(n);
  expect(await drain(spool)).toHaveLength(310);
  expect(await spool.rewind()).toBe(310);
  expect(await drain(spool, 3)).toEqual([0, 1, 2]);
  await truncate(join(folder, 'position'), 20);
  const again = await openSpool(folder, wide, lost, clock);
  expect(again.waiting).toBe(310);
  expect(await drain(again)).toHaveLength(310);
  clock.now += day / 2;
  expect(await again.rewind()).toBe(10);
  expect(await drain(again)).toEqual(numbers(300, 310));
  expect(lost.count).toBe(0);
  clock.now += day;
  again.append('new');
  expect(await drain(again)).toEqual(['new']);
  expect((await readdir(folder)).sort()).toEqual([
    '0000000000000256-1000.log', // its last entry may be as young as the file after it
    `0000000000000310-${clock.now}.log`,
    'position',
  ]);
});

test('while the disk takes nothing, entries wait in memory, bounded, and come later in order', async () => {
  const folder = await tempDir();
  const lost = { count: 0 };
  const spool = await openSpool(join(folder, 'spool'), wide, lost);
  await rm(join(folder, 'spool'), { recursive: true });
  await writeFile(join(folder, 'spool'), 'no folder');
  for (const n of numbers(0, 300)) spool.append(n);
  await expect(spool.take()).rejects.toMatchObject({ operation: 'spool', code: 'ENOTDIR' });
  for (const n of numbers(300, 600)) spool.append(n);
  await expect(spool.flush()).rejects.toMatchObject({ code: 'ENOTDIR' });
  const large = 'x'.repeat(1024 * 1024);
  for (const _ of numbers(0, 20)) spool.append(large);
  expect(spool.bytes).toBeLessThanOrEqual(8 * 1024 * 1024);
  expect(lost.count).toBe(613); // the 600 before them, and 13 of the large ones
  await rm(join(folder, 'spool'));
  await mkdir(join(folder, 'spool'));
  expect(await drain(spool)).toEqual(numbers(0, 7).map(() => large));
});

test('memory stays flat while entries come faster than the disk takes them', async () => {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const heap = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const spool = await openSpool(await tempDir(), { ...wide, entries: 1000 });
  const fill = async (count: number) => {
    for (let n = 0; n < count; n += 1) {
      spool.append({ n });
      if (n % 100 === 0) await new Promise(setImmediate);
    }
    return heap();
  };
  const before = await fill(20_000);
  expect((await fill(80_000)) - before).toBeLessThan(5 * 1024 * 1024);
  await spool.flush();
});

test('whatever is appended, sent, rewound and restarted: the order holds, and nothing is lost but the oldest', async () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 300 }) }),
    fc.record({ kind: fc.constant('send' as const), count: fc.integer({ min: 1, max: 200 }) }),
    fc.record({
      kind: fc.constantFrom('flush' as const, 'restart' as const, 'take' as const),
      count: fc.constant(0),
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async steps => {
      const { path, remove } = await makeTempDir();
      const limits = { ...wide, entries: 400 };
      const lost = { count: 0 };
      let spool = await openSpool(path, limits, lost);
      let [next, sent] = [0, -1];
      let received = 0;
      const send = async (count: number) => {
        for (const value of await drain(spool, count)) {
          expect(value).toBeGreaterThan(sent);
          sent = Number(value);
          received += 1;
        }
      };
      for (const { kind, count } of steps) {
        if (kind === 'append') for (let n = 0; n < count; n += 1) spool.append(next++);
        else if (kind === 'send') await send(count);
        else if (kind === 'take') await spool.take();
        else {
          await spool.flush();
          if (kind === 'restart') spool = await openSpool(path, limits, lost);
        }
        // What is being written can't be withdrawn: it goes when it is on disk.
        const isWritten = kind === 'flush' || kind === 'restart';
        expect(spool.waiting).toBeLessThanOrEqual(isWritten ? 400 : 2 * 400);
      }
      await send(Number.POSITIVE_INFINITY);
      expect(sent).toBe(next - 1);
      // One that was taken and then dropped is counted at the next take, which a restart does not know of.
      expect(next - received - lost.count).toBeLessThanOrEqual(
        steps.filter(({ kind }) => kind === 'restart').length,
      );
      expect(received + lost.count).toBeLessThanOrEqual(next);
      await remove();
    }),
    { numRuns: 20 },
  );
});
