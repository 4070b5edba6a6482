/** The memory of misses, and the tags it is for. */
import { expect, test } from 'vitest';
import { isDiscoveryTag, NegativeCache } from '../../../../src/cached/manifests/negative-cache.ts';
import { parseTag } from '../../../../src/oci/name.ts';
import { HandClock } from '../rig.ts';

test('a miss is fresh for its ttl, then stale for as long as it is remembered', () => {
  const clock = new HandClock();
  const absent = new NegativeCache(60_000, clock.now);
  expect(absent.get('a')).toBeUndefined();
  absent.remember('a');
  const at = clock.now();
  clock.advance(59_999);
  expect(absent.get('a')).toEqual({ kind: 'fresh', at });
  expect(absent.get('b')).toBeUndefined();
  clock.advance(1);
  expect(absent.get('a')).toEqual({ kind: 'stale', at });
  clock.advance(365 * 86_400_000);
  expect(absent.get('a')).toEqual({ kind: 'stale', at });
});

test('a miss seen again is fresh again, and one that was found is forgotten', () => {
  const clock = new HandClock();
  const absent = new NegativeCache(60_000, clock.now);
  absent.remember('a');
  clock.advance(60_000);
  absent.remember('a');
  expect(absent.get('a')).toEqual({ kind: 'fresh', at: clock.now() });
  absent.forget('a');
  expect(absent.get('a')).toBeUndefined();
});

test('with a ttl of 0 every miss is asked for again, and still answers while nobody can be asked', () => {
  const clock = new HandClock();
  const absent = new NegativeCache(0, clock.now);
  absent.remember('a');
  expect(absent.get('a')?.kind).toBe('stale');
});

test('the memory is bounded: the oldest misses make room', () => {
  const absent = new NegativeCache(60_000, () => 0);
  for (let count = 0; count < 10_001; count += 1) absent.remember(`key ${count}`);
  expect(absent.get('key 0')).toBeUndefined();
  expect(absent.get('key 1')).toBeDefined();
});

test.each<[string, boolean]>([
  [`sha256-${'a'.repeat(64)}`, true],
  [`sha256-${'a'.repeat(64)}.sig`, true],
  [`sha256-${'a'.repeat(64)}.att`, true],
  [`sha512-${'a'.repeat(64)}`, true],
  ['v1.sig', true],
  ['latest', false],
  ['v1.sig2', false],
  ['my-sha256-tag', false],
  ['sha256', false],
])('that %s is asked for on the off-chance: %s', (tag, expected) => {
  expect(isDiscoveryTag(parseTag(tag))).toBe(expected);
});
