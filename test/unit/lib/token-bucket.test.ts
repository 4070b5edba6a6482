/** A burst at first, then so many per second; who takes more waits for it. */
import { expect, test } from 'vitest';
import { TokenBucket } from '../../../src/lib/token-bucket.ts';

test('a burst is free, and what comes after it waits, each for those before it too', () => {
  let nowMs = 0;
  const bucket = new TokenBucket({ perSecond: 100, burst: 10, now: () => nowMs });
  expect(bucket.take(10)).toBe(0);
  expect(bucket.take(5)).toBe(50);
  expect(bucket.take(5)).toBe(100);
  nowMs = 100;
  expect(bucket.take(1)).toBe(10);
  nowMs = 10_000;
  expect([bucket.take(10), bucket.take(1)]).toEqual([0, 10]);
});
