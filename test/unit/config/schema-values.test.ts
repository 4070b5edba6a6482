import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ValueError } from '../../../src/config/problem.ts';
import { parseDuration, parsePercentage, parseRate, parseSize } from '../../../src/config/schema-values.ts';
import { formatDuration, formatSize } from '../../../src/lib/format.ts';

describe('sizes', () => {
  it.each([
    ['50GiB', 53_687_091_200],
    ['50GB', 50_000_000_000],
    ['1.5KiB', 1536],
    ['10 MB', 10_000_000],
    ['123', 123],
    [123, 123],
    ['0', 0],
    [0, 0],
    ['1B', 1],
  ])('reads %j', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each([
    '50G',
    '50gb',
    '50Gb',
    '-1',
    '',
    'GiB',
    '1e3',
    '1_000',
    '9999999TiB',
    1.5,
    -1,
    Number.NaN,
    true,
    null,
    [],
    {},
  ])('refuses %j', value => {
    expect(() => parseSize(value)).toThrow(ValueError);
  });

  it('reads back what it formats', () => {
    fc.assert(fc.property(fc.maxSafeNat(), bytes => void expect(parseSize(formatSize(bytes))).toBe(bytes)));
  });

  it('formats with the largest unit that divides', () => {
    expect([0, 1, 1000, 1024, 50 * 2 ** 30, 2e9].map(formatSize)).toEqual([
      '0B',
      '1B',
      '1KB',
      '1KiB',
      '50GiB',
      '2GB',
    ]);
  });
});

describe('rates', () => {
  it.each([
    ['20MiB/s', 20 * 2 ** 20],
    ['1.5 MB/s', 1_500_000],
    ['0', 0],
    [0, 0],
  ])('reads %j', (text, bytesPerSecond) => {
    expect(parseRate(text)).toBe(bytesPerSecond);
  });

  it.each(['20MiB', '20/s', 20, '0MiB/s', '-1MiB/s', '20MiB/h', '', null])('refuses %j', value => {
    expect(() => parseRate(value)).toThrow(ValueError);
  });
});

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['5s', 5000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
    ['1.5h', 5_400_000],
    ['0', 0],
    [0, 0],
    ['0s', 0],
  ])('reads %j', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(['5', 5, '5 minutes', '1h30m', '-5s', '5M', 's', '', 'forever', true, null])(
    'refuses %j',
    value => {
      expect(() => parseDuration(value)).toThrow(ValueError);
    },
  );

  it('reads back what it formats', () => {
    fc.assert(fc.property(fc.maxSafeNat(), ms => void expect(parseDuration(formatDuration(ms))).toBe(ms)));
  });
});

describe('percentages', () => {
  it.each([
    ['90%', 0.9],
    ['12.5 %', 0.125],
    ['100%', 1],
  ])('reads %j', (text, share) => {
    expect(parsePercentage(text)).toBe(share);
  });

  it.each(['0%', '101%', '90', 90, 0.9, '-5%', '%', null])('refuses %j', value => {
    expect(() => parsePercentage(value)).toThrow(ValueError);
  });
});
