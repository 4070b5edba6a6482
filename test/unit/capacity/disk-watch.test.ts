import { describe, expect, test } from 'vitest';
import { DiskWatch } from '../../../src/capacity/disk-watch.ts';
import { Gate } from '../../support/gates.ts';
import { Recorder } from '../../support/recorder.ts';

function watch(look: (n: number) => Promise<number> | number) {
  const recorder = new Recorder();
  const state = { nowMs: 0, onDisk: 10, looks: 0 };
  const disk = new DiskWatch({
    freeBytes: async () => {
      state.looks += 1;
      return { free: await look(state.looks), total: 100 };
    },
    onDiskBytes: () => state.onDisk,
    logger: recorder.logger,
    now: () => state.nowMs,
  });
  return { disk, state, recorder };
}

describe('a look at the disk', () => {
  test('is taken once for all who ask at the same time', async () => {
    const gate = new Gate();
    const { disk, state } = watch(() => gate.pass().then(() => 50));
    const asked = [disk.refresh(0), disk.refresh(0), disk.refresh(1000)];
    expect(disk.sample).toBeUndefined();
    gate.release();
    await Promise.all(asked);
    expect(state.looks).toBe(1);
    expect(disk.sample).toEqual({ free: 50, total: 100, onDisk: 10 });
  });

  test('is good for as long as the asker says', async () => {
    const { disk, state } = watch(() => 50);
    await disk.refresh(0);
    state.nowMs = 999;
    await disk.refresh(1000);
    expect(state.looks).toBe(1);
    state.nowMs = 1000;
    await disk.refresh(1000);
    expect(state.looks).toBe(2);
    await disk.refresh(0);
    expect(state.looks).toBe(3);
  });

  test('during which a blob went is taken again, so that its bytes are neither lost nor counted twice', async () => {
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
  ])('on a disk that never rests (%o) is given up for the smaller sum', async ({ change, smaller }) => {
    const { disk, state } = watch(() => {
      state.onDisk += change;
      return 50;
    });
    await disk.refresh(0);
    expect([state.looks, disk.sample?.onDisk]).toEqual([3, smaller]);
  });

  test('that fails is told, keeps the last one, and is tried again by the next who asks', async () => {
    const { disk, state, recorder } = watch(n => (n === 2 ? Promise.reject(new Error('EIO')) : 40 + n));
    await disk.refresh(0);
    state.nowMs = 5000;
    await disk.refresh(1000);
    expect([disk.sample?.free, recorder.logged.length]).toEqual([41, 1]);
    await disk.refresh(1000);
    expect(disk.sample?.free).toBe(43);
  });
});
