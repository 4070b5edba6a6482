import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { computeLimit, describeMinFreeProblem, minFreeOn } from '../../../src/capacity/limit.ts';

const gib = 1024 ** 3;

describe('min_free', () => {
  test.each([
    { total: 10 * gib, configured: undefined, expected: 0.5 * gib, rule: '5 % of a small disk' },
    { total: 40 * gib, configured: undefined, expected: 2 * gib, rule: 'where both rules meet' },
    { total: 1000 * gib, configured: undefined, expected: 2 * gib, rule: '2 GiB of a large disk' },
    { total: 0, configured: undefined, expected: 0, rule: 'a disk without a size' },
    {
      total: 10 * gib,
      configured: 9 * gib,
      expected: 9 * gib,
      rule: 'as configured, even if it is most of it',
    },
    { total: 1000 * gib, configured: 0, expected: 0, rule: 'configured as none' },
  ])('$rule', ({ total, configured, expected }) => {
    expect(minFreeOn(total, configured)).toBe(expected);
  });

  test('that no disk of this size can have is a problem in words; everything else is none', () => {
    expect(describeMinFreeProblem(2 * gib, 1.5 * gib)).toBe(
      'store.min_free is 2 GiB, but the whole disk has 1.5 GiB: nothing could be kept; expected less than the disk',
    );
    expect(describeMinFreeProblem(gib, gib)).toContain('1 GiB');
    expect(describeMinFreeProblem(gib - 1, gib)).toBeUndefined();
    expect(describeMinFreeProblem(undefined, 1)).toBeUndefined();
  });
});

describe('the limit', () => {
  const disk = { free: 10 * gib, total: 100 * gib, onDisk: 5 * gib };

  test('is max_size where the disk has room for it', () => {
    expect(computeLimit({ maxBytes: 13 * gib, minFreeBytes: 2 * gib }, disk)).toEqual({
      bytes: 13 * gib,
      reason: 'max_size',
    });
  });

  test('is what is ours plus what is free above min_free, where that is less, and says so in numbers', () => {
    expect(computeLimit({ maxBytes: 14 * gib, minFreeBytes: 2 * gib }, disk)).toEqual({
      bytes: 13 * gib,
      reason: 'min_free: the disk has only 10 GiB free of 100 GiB, and 2 GiB stay free',
    });
  });

  test.each([0, Infinity])('a max_size of %d is none: the disk alone limits', maxBytes => {
    expect(computeLimit({ maxBytes, minFreeBytes: undefined }, disk).bytes).toBe(13 * gib);
  });

  test('a disk that is fuller than min_free allows makes us shrink, but never below nothing', () => {
    const options = { maxBytes: 0, minFreeBytes: 8 * gib };
    expect(computeLimit(options, { ...disk, free: 6 * gib }).bytes).toBe(3 * gib);
    expect(computeLimit(options, { ...disk, free: 0 }).bytes).toBe(0);
  });

  test('without a look at the disk max_size stands, or nothing does', () => {
    expect(computeLimit({ maxBytes: 5, minFreeBytes: 1 }, undefined)).toEqual({
      bytes: 5,
      reason: 'max_size',
    });
    expect(computeLimit({ maxBytes: 0, minFreeBytes: 1 }, undefined)).toEqual({
      bytes: Infinity,
      reason: 'none: the disk could not be asked',
    });
  });

  test('filled up to it, min_free is free and max_size is kept, whatever the disk', () => {
    const bytes = fc.nat(1_000_000);
    fc.assert(
      fc.property(bytes, bytes, bytes, bytes, (free, onDisk, minFreeBytes, maxBytes) => {
        const limit = computeLimit({ maxBytes, minFreeBytes }, { free, onDisk, total: 2_000_000 }).bytes;
        if (maxBytes > 0) expect(limit).toBeLessThanOrEqual(maxBytes);
        if (limit > 0) expect(free - (limit - onDisk)).toBeGreaterThanOrEqual(minFreeBytes);
      }),
    );
  });
});
