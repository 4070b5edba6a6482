import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type HeaderFields,
  parseRateLimit,
  parseRetryAfter,
  type RateLimit,
} from '../../../src/oci/rate-limit.ts';

/** As Docker Hub writes it. */
function headersOf({ limit, remaining, windowSeconds, source }: RateLimit): HeaderFields {
  const window = windowSeconds === undefined ? '' : `;w=${windowSeconds}`;
  return {
    ...(limit !== undefined && { 'ratelimit-limit': `${limit}${window}` }),
    ...(remaining !== undefined && { 'ratelimit-remaining': `${remaining}${window}` }),
    ...(source !== undefined && { 'docker-ratelimit-source': source }),
  };
}

describe('rate limit', () => {
  test('Docker Hub tells limit, remaining, window and who is counted', () => {
    const headers = {
      'ratelimit-limit': '100;w=21600',
      'ratelimit-remaining': '20;w=21600',
      'docker-ratelimit-source': '2604:a880:400:d0::',
    };
    const expected = { limit: 100, remaining: 20, windowSeconds: 21_600, source: '2604:a880:400:d0::' };
    expect(parseRateLimit(headers)).toEqual(expected);
  });

  test('what is formatted is read back as it was', () => {
    const limits = fc.record(
      {
        limit: fc.nat(),
        remaining: fc.nat(),
        windowSeconds: fc.nat(),
        source: fc.constantFrom('1.2.3.4', 'account'),
      },
      { requiredKeys: ['remaining'] },
    );
    fc.assert(
      fc.property(limits, limit => {
        expect(parseRateLimit(headersOf(limit))).toEqual(limit);
      }),
    );
  });

  test.each<[string, HeaderFields, RateLimit | undefined]>([
    ['nothing', {}, undefined],
    ['a source alone', { 'docker-ratelimit-source': 'x' }, undefined],
    ['words', { 'ratelimit-limit': 'many', 'ratelimit-remaining': '' }, undefined],
    ['a negative number', { 'ratelimit-remaining': '-1' }, undefined],
    ['a number past counting', { 'ratelimit-remaining': '9'.repeat(16) }, undefined],
    ['no window', { 'ratelimit-remaining': '0' }, { remaining: 0 }],
    ['another parameter', { 'ratelimit-limit': '5;x=1' }, { limit: 5 }],
    ['blanks', { 'ratelimit-limit': ' 5 ; w=60 ' }, { limit: 5, windowSeconds: 60 }],
    ['two headers', { 'ratelimit-limit': ['5;w=1', '6;w=2'] }, { limit: 5, windowSeconds: 1 }],
    [
      'one good, one bad',
      { 'ratelimit-limit': 'x', 'ratelimit-remaining': '1;w=2' },
      { remaining: 1, windowSeconds: 2 },
    ],
    [
      'a long source',
      { 'ratelimit-limit': '1', 'docker-ratelimit-source': 'x'.repeat(999) },
      { limit: 1, source: 'x'.repeat(128) },
    ],
  ])('%s', (_case, headers, expected) => {
    expect(parseRateLimit(headers)).toEqual(expected);
  });
});

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
      fc.property(seconds, wait => {
        expect(parseRetryAfter(new Date(now + wait * 1000).toUTCString(), now)).toBe(wait * 1000);
      }),
    );
  });
});
