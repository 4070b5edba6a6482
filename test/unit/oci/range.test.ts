import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ByteRange,
  formatContentRange,
  formatRange,
  formatUnsatisfiedRange,
  parseContentRange,
  parseRange,
  resolveRange,
} from '../../../src/oci/range.ts';
import { titled } from '../../support/titles.ts';

const offsets = fc.oneof(fc.nat(20), fc.maxSafeNat());
const ranges: fc.Arbitrary<ByteRange> = fc.oneof(
  fc.record({ first: offsets, last: offsets }, { requiredKeys: ['first'] }),
  fc.record({ suffix: offsets }),
);

describe('Range', () => {
  test.each<[string, readonly ByteRange[]]>([
    ['bytes=0-0', [{ first: 0, last: 0 }]],
    ['bytes=2000-5000', [{ first: 2000, last: 5000 }]],
    ['bytes=500-', [{ first: 500 }]],
    ['bytes=-500', [{ suffix: 500 }]],
    ['bytes=500-0', [{ first: 500, last: 0 }]],
    ['Bytes=007-', [{ first: 7 }]],
    ['bytes= 0-1 ,\t5- , -3', [{ first: 0, last: 1 }, { first: 5 }, { suffix: 3 }]],
    ['bytes=,0-1,,', [{ first: 0, last: 1 }]],
    ['bytes=99999999999999999999-', [{ first: Number.MAX_SAFE_INTEGER }]],
  ])('%j is read', (header, expected) => {
    expect(parseRange(header)).toEqual(expected);
  });

  test.each(
    titled([
      undefined,
      '',
      'bytes',
      'bytes=',
      'bytes=,',
      'bytes=-',
      'bytes=--5',
      'bytes=a-b',
      'bytes=1',
      'bytes=1-2-3',
      'bytes=+1-2',
      'bytes=1.5-2',
      'bytes=0x10-',
      'bytes=1 - 2',
      'bytes=0-1;5-6',
      'bytes=0-1,x',
      'bytes 0-1',
      'bytes =0-1',
      'items=0-1',
      `bytes=${'0-1,'.repeat(1024)}5-6`,
    ]),
  )('%s means everything', (_title, header) => {
    expect(parseRange(header)).toBeUndefined();
  });

  test('what is formatted is read back as it was', () => {
    fc.assert(
      fc.property(ranges, range => {
        expect(parseRange(formatRange(range))).toEqual([range]);
      }),
    );
  });

  test('as many ranges as a partial pull asks for are read', () => {
    expect(parseRange(`bytes=${'0-1,'.repeat(1024)}`)).toHaveLength(1024);
  });
});

describe('resolved range', () => {
  test.each<[ByteRange, number, number, number]>([
    [{ first: 0, last: 0 }, 10, 0, 1],
    [{ first: 2, last: 5 }, 10, 2, 6],
    [{ first: 2, last: 500 }, 10, 2, 10],
    [{ first: 9 }, 10, 9, 10],
    [{ suffix: 3 }, 10, 7, 10],
    [{ suffix: 30 }, 10, 0, 10],
  ])('%j of %i bytes is %i to %i', (range, size, start, end) => {
    expect(resolveRange(range, size)).toEqual({ start, end });
  });

  test.each<[ByteRange, number]>([
    [{ first: 10 }, 10],
    [{ first: 5000, last: 10_000 }, 10],
    [{ first: 5, last: 4 }, 10],
    [{ suffix: 0 }, 10],
    [{ first: 0 }, 0],
    [{ suffix: 1 }, 0],
  ])('%j of %i bytes cannot be satisfied', (range, size) => {
    expect(resolveRange(range, size)).toBeUndefined();
  });

  test('holds exactly the bytes that the range means', () => {
    const sizes = fc.nat(40);
    fc.assert(
      fc.property(ranges, sizes, (range, size) => {
        const span = resolveRange(range, size);
        const meant = Array.from({ length: size }, (_, at) => at).filter(at =>
          'suffix' in range ? at >= size - range.suffix : at >= range.first && at <= (range.last ?? at),
        );
        const held = span ? Array.from({ length: span.end - span.start }, (_, at) => span.start + at) : [];
        expect(held).toEqual(meant);
      }),
    );
  });
});

describe('Content-Range', () => {
  test('exact values', () => {
    expect(formatContentRange({ start: 0, end: 10 }, 100)).toBe('bytes 0-9/100');
    expect(formatContentRange({ start: 5, end: 6 }, undefined)).toBe('bytes 5-5/*');
    expect(formatUnsatisfiedRange(100)).toBe('bytes */100');
  });

  test('what is formatted is read back as it was', () => {
    const spans = fc.tuple(
      fc.nat(2 ** 40),
      fc.integer({ min: 1, max: 2 ** 40 }),
      fc.option(fc.nat(2 ** 40), { nil: undefined }),
    );
    fc.assert(
      fc.property(spans, ([start, length, rest]) => {
        const span = { start, end: start + length };
        const size = rest === undefined ? undefined : span.end + rest;
        const expected = size === undefined ? span : { ...span, size };
        expect(parseContentRange(formatContentRange(span, size))).toEqual(expected);
      }),
    );
  });

  test.each([
    undefined,
    '',
    'bytes */100',
    'bytes 5-4/100',
    'bytes 0-100/100',
    'bytes 0-9',
    'bytes 0-/100',
    'bytes=0-9/100',
    'items 0-9/100',
    'bytes 0-9/100, bytes 0-9/100',
    'bytes -1-9/100',
    'bytes 0-9007199254740991/*',
    'bytes 0-9/9999999999999999',
  ])('%j says nothing', header => {
    expect(parseContentRange(header)).toBeUndefined();
  });
});
