/** The compact table of uses, against a plain Map; and the coldest of it, against a sort. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ColdestTimes, ColdQueue } from '../../../../src/lru/index/cold-queue.ts';
import { copied, inOrder, inSizes, type Use, UseTable } from '../../../../src/lru/index/use-table.ts';
import { type Digest, digestOf, digestOfKey, keyOf, parseDigest } from '../../../../src/oci/digest.ts';

/** All in one part of the table, and many with the same place in it: neighbours are pushed around. */
function crowded(n: number): Digest {
  const tail = n.toString(16).padStart(8, '0');
  return parseDigest(`sha256:aa000000${(n % 5).toString(16).padStart(8, '0')}${'0'.repeat(40)}${tail}`);
}

function spread(n: number): Digest {
  return digestOf(Buffer.from(String(n)), n % 3 === 0 ? 'sha512' : 'sha256');
}

test('a key is half as long as the text and gives it back', () => {
  for (const digest of [spread(1), spread(3)]) {
    expect(keyOf(digest)).toHaveLength(digest.startsWith('sha512') ? 64 : 32);
    expect(digestOfKey(keyOf(digest))).toBe(digest);
  }
  expect([digestOfKey(Buffer.from('foreign')), digestOfKey(Buffer.alloc(0))]).toEqual([undefined, undefined]);
});

test('after any operations it holds what a Map would', () => {
  const blob = fc.oneof(fc.nat(60).map(crowded), fc.nat(60).map(spread));
  const operation = fc.oneof(
    fc.record({ kind: fc.constant('set' as const), blob, size: fc.option(fc.nat(100), { nil: undefined }) }),
    fc.record({ kind: fc.constantFrom('delete' as const, 'touch' as const, 'deleteUnsized' as const), blob }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 300 }), operations => {
      const table = new UseTable();
      const model = new Map<Digest, Use>();
      for (const [lastUseMs, one] of operations.entries()) {
        const known = model.get(one.blob);
        if (one.kind === 'set') {
          table.set(one.blob, one.size, lastUseMs);
          model.set(one.blob, { size: one.size, lastUseMs });
        } else if (one.kind === 'delete') {
          expect(table.delete(one.blob)).toBe(model.delete(one.blob));
        } else if (one.kind === 'touch') {
          expect(table.touch(one.blob, lastUseMs)).toBe(known !== undefined);
          if (known !== undefined) model.set(one.blob, { ...known, lastUseMs });
        } else {
          table.deleteUnsized();
          for (const [digest, { size }] of model) if (size === undefined) model.delete(digest);
        }
      }
      for (const [digest, use] of model) expect(table.get(digest)).toEqual(use);
      for (let n = 0; n <= 60; n += 1)
        for (const digest of [crowded(n), spread(n)]) expect(table.get(digest)).toEqual(model.get(digest));
      const sizes = [...model.values()].flatMap(({ size }) => (size === undefined ? [] : [size]));
      expect([table.count, table.bytes]).toEqual([sizes.length, sizes.reduce((sum, size) => sum + size, 0)]);
    }),
    { numRuns: 300 },
  );
});

test('what has no size goes wherever it lies, also where a search goes on from the last place to the first', () => {
  const place = fc.record({ home: fc.nat(15), isSized: fc.boolean() });
  fc.assert(
    fc.property(fc.array(place, { minLength: 1, maxLength: 12 }), places => {
      const table = new UseTable();
      const blobs = places.map(({ home, isSized }, n) => {
        const word = home.toString(16).padStart(2, '0');
        const digest = parseDigest(`sha256:aa000000${word}000000${n.toString(16).padStart(48, '0')}`);
        table.set(digest, isSized ? 1 : undefined, n);
        return { digest, isSized };
      });
      table.deleteUnsized();
      for (const { digest, isSized } of blobs) expect(table.get(digest) !== undefined).toBe(isSized);
    }),
    { numRuns: 500 },
  );
});

test('marks are lost by what they no longer hold for', () => {
  const table = new UseTable();
  const digest = spread(1);
  const marks = () =>
    [...table.shards()].flatMap(shard =>
      Array.from({ length: shard.capacity }, (_, at) => at)
        .filter(at => shard.isTaken(at))
        .map(at => shard.marksAt(at)),
    );
  table.set(digest, 1, 1);
  expect(marks()).toEqual([0]);
  table.mark(digest, inOrder);
  table.mark(digest, inSizes);
  expect(marks()).toEqual([copied]);
  table.touch(digest, 2);
  expect(marks()).toEqual([inSizes]);
  table.set(digest, 2, 3);
  expect(marks()).toEqual([0]);
});

test('the earliest times of many are kept', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50)), fc.integer({ min: 1, max: 20 }), (all, count) => {
      const times = new ColdestTimes(count);
      for (const time of all) times.offer(time);
      const earliest = all.toSorted((a, b) => a - b).slice(0, count);
      const latest = all.length < count ? Infinity : earliest.at(-1);
      expect(times.latest).toBe(latest);
      expect(times.earlierThanLatest).toBe(earliest.filter(time => time !== latest).length);
    }),
  );
});

test('more than one look at the table gives all of it in order, each once', async () => {
  const table = new UseTable();
  const count = 10_000;
  for (let n = 0; n < count; n += 1) table.set(spread(n), n, (n * 7919) % count);
  const queue = new ColdQueue(table);
  const sizes: number[] = [];
  for (let batch = await queue.coldest(500); batch.length > 0; batch = await queue.coldest(500)) {
    for (const { digest, lastUseMs } of batch) {
      sizes.push(lastUseMs);
      table.delete(digest);
    }
  }
  expect(sizes).toEqual(Array.from({ length: count }, (_, n) => n));
});

test('any number of uses at the same time is given out', async () => {
  const table = new UseTable();
  const count = 9000;
  for (let n = 0; n < count; n += 1) table.set(spread(n), 1, 5);
  const queue = new ColdQueue(table);
  expect(new Set((await queue.coldest(count)).map(entry => entry.digest)).size).toBe(count);
});

test('what came in colder than what was found is found', async () => {
  const table = new UseTable();
  table.set(spread(1), 1, 10);
  table.set(spread(2), 1, 20);
  const queue = new ColdQueue(table);
  expect((await queue.coldest(1)).map(entry => entry.digest)).toEqual([spread(1)]);
  table.set(spread(3), 1, 5);
  queue.invalidate();
  const looking = queue.coldest(3);
  table.set(spread(4), 1, 1);
  queue.invalidate(); // during the look
  expect((await looking).map(entry => entry.lastUseMs)).toEqual([1, 5, 10]);
});
