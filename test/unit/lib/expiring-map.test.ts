/** Guards src/lib/expiring-map.ts. */
import { expect, test } from 'vitest';
import { ExpiringMap } from '../../../src/lib/expiring-map.ts';

function build(maxEntries = 3) {
  const clock = { nowMs: 1000 };
  const map = new ExpiringMap<string, number>({ maxEntries, ttlMs: 100, now: () => clock.nowMs });
  return { clock, map };
}

test('an entry is fresh for its ttl, and found as expired after it', () => {
  const { clock, map } = build();
  map.set('a', 1);
  map.set('b', 2, 500);
  clock.nowMs += 99;
  expect(map.get('a')).toBe(1);
  clock.nowMs += 1;
  expect([map.get('a'), map.has('a'), map.has('b')]).toEqual([undefined, false, true]);
  expect(map.getExpired('a')).toEqual({ value: 1, setAtMs: 1000, isFresh: false });
  map.set('a', 3);
  expect(map.get('a')).toBe(3);
});

test('a clock that was set back makes entries expired, not immortal', () => {
  const { clock, map } = build();
  map.set('a', 1);
  clock.nowMs -= 1;
  expect(map.get('a')).toBeUndefined();
});

test('the entry set longest ago goes when the map is full, also when it was read since', () => {
  const { map } = build();
  for (const [index, key] of ['a', 'b', 'c'].entries()) map.set(key, index);
  expect(map.get('a')).toBe(0);
  map.set('d', 3);
  expect(['a', 'b', 'c', 'd'].map(key => map.has(key))).toEqual([false, true, true, true]);
});

test('entries are deleted by key, by value, or all', () => {
  const { map } = build();
  for (const [index, key] of ['a', 'b', 'c'].entries()) map.set(key, index);
  map.delete('a');
  map.deleteWhere(value => value === 1);
  expect(['a', 'b', 'c'].map(key => map.has(key))).toEqual([false, false, true]);
  map.clear();
  expect(map.getExpired('c')).toBeUndefined();
});
