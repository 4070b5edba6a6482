import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { computeLimit, DiskWatch, describeMinFreeProblem, minFreeOn } from '../../../src/capacity/ledger.ts';
import { Gate } from '../../support/gates.ts';
import { Recorder } from '../../support/recorder.ts';

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
      'store.min_free is 2.0 GiB, but the whole disk has 1.5 GiB: nothing can be kept; set it below the size of the disk',
    );
    expect(describeMinFreeProblem(gib, gib)).toContain('1.0 GiB');
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
      reason: 'min_free: the disk has only 10.0 GiB free of 100 GiB, and 2.0 GiB stay free',
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

function watch(read: (n: number) => Promise<number> | number) {
  const recorder = new Recorder();
  const state = { nowMs: 0, onDisk: 10, reads: 0 };
  const disk = new DiskWatch({
    freeBytes: async () => {
      state.reads += 1;
      return { free: await read(state.reads), total: 100 };
    },
    onDiskBytes: () => state.onDisk,
    logger: recorder.logger,
    now: () => state.nowMs,
  });
  return { disk, state, recorder };
}

describe('a reading of the disk', () => {
  test('is shared by concurrent callers', async () => {
    const gate = new Gate();
    const { disk, state } = watch(() => gate.pass().then(() => 50));
    const asked = [disk.refresh(0), disk.refresh(0), disk.refresh(1000)];
    expect(disk.sample).toBeUndefined();
    gate.release();
    await Promise.all(asked);
    expect(state.reads).toBe(1);
    expect(disk.sample).toEqual({ free: 50, total: 100, onDisk: 10 });
  });

  test('is good for as long as the caller says', async () => {
    const { disk, state } = watch(() => 50);
    await disk.refresh(0);
    state.nowMs = 999;
    await disk.refresh(1000);
    expect(state.reads).toBe(1);
    state.nowMs = 1000;
    await disk.refresh(1000);
    expect(state.reads).toBe(2);
    await disk.refresh(0);
    expect(state.reads).toBe(3);
  });

  test('during which a blob went is repeated, so that its bytes are neither lost nor counted twice', async () => {
    const { disk, state } = watch(n => {
      if (n > 1) return 57;
      state.onDisk -= 7; // after the disk was asked
      return 50;
    });
    await disk.refresh(0);
    expect(disk.sample).toEqual({ free: 57, total: 100, onDisk: 3 });
  });

  test.each([
    { change: 1, smaller: 12 },
    { change: -1, smaller: 7 },
  ])('on a disk that never rests (%o) ends with the smaller sum', async ({ change, smaller }) => {
    const { disk, state } = watch(() => {
      state.onDisk += change;
      return 50;
    });
    await disk.refresh(0);
    expect([state.reads, disk.sample?.onDisk]).toEqual([3, smaller]);
  });

  test('that fails is logged, keeps the last one, and is repeated by the next caller', async () => {
    const { disk, state, recorder } = watch(n => (n === 2 ? Promise.reject(new Error('EIO')) : 40 + n));
    await disk.refresh(0);
    state.nowMs = 5000;
    await disk.refresh(1000);
    expect([disk.sample?.free, recorder.logged.length]).toEqual([41, 1]);
    await disk.refresh(1000);
    expect(disk.sample?.free).toBe(43);
  });
});
