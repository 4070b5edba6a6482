import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseRetryAfter } from '../../../src/oci/retry-after.ts';

const now = Date.UTC(1994, 10, 6, 8, 49, 7);

describe('Retry-After', () => {
  test.each([
    ['0', 0],
    ['120', 120_000],
    [' 3 ', 3000],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 30_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 30_000],
    ['Sun Nov  6 08:49:37 1994', 30_000],
    ['Sun, 06 Nov 1994 08:48:37 GMT', 0],
    [undefined, undefined],
    ['', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['1e3', undefined],
    ['soon', undefined],
    ['1994-11-06T08:49:37Z', undefined],
    ['Sun, 99 Foo 1994 08:49:37 GMT', undefined],
    ['9'.repeat(11), undefined],
  ])('%j means %j ms', (header, expected) => {
    expect(parseRetryAfter(header, now)).toBe(expected);
  });

  test('any date as HTTP writes it is understood, to the second', () => {
    const seconds = fc.integer({ min: 0, max: 10 ** 9 });
    fc.assert(
      fc.property(
        seconds,
        wait => parseRetryAfter(new Date(now + wait * 1000).toUTCString(), now) === wait * 1000,
      ),
    );
  });
});
