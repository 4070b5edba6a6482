/** What a verdict is worth at its age. */
import { expect, test } from 'vitest';
import { standingOf, verdictTtlMs } from '../../../../src/cached/access/visibility.ts';

const now = 1_700_000_000_000;

test('without a verdict it is unknown', () => {
  expect(standingOf(undefined, now)).toEqual({ verdict: 'unknown', isFresh: false });
});

test.each([
  [0, true],
  [verdictTtlMs - 1, true],
  [verdictTtlMs, false],
  [10 * verdictTtlMs, false],
  [-1, false],
])('%i ms after it was found out it is fresh: %j, and stands either way', (ageMs, isFresh) => {
  for (const verdict of ['public', 'private'] as const) {
    expect(standingOf({ verdict, checkedAt: now - ageMs }, now)).toEqual({ verdict, isFresh });
  }
});

test('it is believed for a day', () => {
  expect(verdictTtlMs).toBe(86_400_000);
});
