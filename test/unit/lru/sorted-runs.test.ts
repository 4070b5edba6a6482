import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { LruEntry } from '../../../src/lru/lru.ts';
import { SortedRuns } from '../../../src/lru/sorted-runs.ts';
import { digestOf } from '../../../src/oci/digest.ts';

const digest = digestOf(Buffer.from('any'));

function sorted(times: readonly number[]): number[] {
  const runs = new SortedRuns();
  for (const lastUseMs of times) runs.push({ digest, size: 1, lastUseMs });
  return Array.from(runs.coldestFirst(), (entry: LruEntry) => entry.lastUseMs);
}

test('nothing gives nothing', () => {
  expect(sorted([])).toEqual([]);
});

test('any entries come out coldest first, equal ones as often as they went in', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(50)), times => {
      expect(sorted(times)).toEqual(times.toSorted((a, b) => a - b));
    }),
  );
});

test.each([4095, 4096, 4097, 8192, 9 * 4096 + 5])('%i entries, in as many runs as it takes', count => {
  // A step that shares no factor with the count visits each number once, far from sorted.
  const times = Array.from({ length: count }, (_, i) => (i * 7919) % count);
  expect(sorted(times)).toEqual(Array.from({ length: count }, (_, i) => i));
});

test('runs that follow each other in time, and runs that all begin alike', () => {
  const count = 3 * 4096;
  const falling = Array.from({ length: count }, (_, i) => count - i);
  expect(sorted(falling)).toEqual(falling.toReversed());
  const alike = Array.from({ length: count }, (_, i) => i % 4096);
  expect(sorted(alike)).toEqual(alike.toSorted((a, b) => a - b));
});
