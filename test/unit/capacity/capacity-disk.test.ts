/** Capacity on a disk with a mind of its own, and before it knows what lies there. The limit is 100 unless said otherwise. */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { CapacityRig, sum } from './capacity-rig.ts';

describe('the disk', () => {
  test('fuller than min_free allows is the limit, with its reason', async () => {
    const rig = await CapacityRig.open({ maxBytes: 100, minFreeBytes: 20, diskBytes: 100 });
    await rig.hold(['a', 30], ['b', 30]);
    expect(rig.capacity.usage()).toMatchObject({
      limitBytes: 80,
      limitReason: expect.stringMatching(/^min_free: /),
    });
    expect(await rig.capacity.reserve(81)).toBeUndefined();
    rig.foreignBytes = 40;
    await rig.capacity.enforce();
    expect(rig.removed).toEqual(['blob a']);
    expect(rig.capacity.usage()).toMatchObject({ heldBytes: 30, limitBytes: 40, freeBytes: 0 });
    rig.foreignBytes = 0;
    await rig.capacity.enforce();
    expect(rig.capacity.usage()).toMatchObject({ limitBytes: 80, freeBytes: 70 });
  });

  test('with plenty of room says that max_size is the limit', async () => {
    const rig = await CapacityRig.open({ diskBytes: 1000 });
    expect(rig.capacity.usage()).toMatchObject({ limitBytes: 100, limitReason: 'max_size' });
  });

  test('smaller than min_free is told at start, for nothing can be kept then', async () => {
    const fits = await CapacityRig.open({ minFreeBytes: 99, diskBytes: 100 });
    expect(fits.recorder.logged).toEqual([]);
    const rig = await CapacityRig.open({ minFreeBytes: 100, diskBytes: 100 });
    expect(rig.recorder.logged.join('\n')).toMatch(
      /^warn store\.min_free is 100\b.*the whole disk has 100\b/,
    );
  });

  test('what running reservations have written is ours: min_free does not count it twice', async () => {
    const rig = await CapacityRig.open({ maxBytes: 0, minFreeBytes: 20, diskBytes: 100 });
    await rig.reserve(60);
    rig.writtenBytes = 60;
    await rig.capacity.enforce();
    expect(rig.capacity.usage()).toMatchObject({ limitBytes: 80, freeBytes: 40 });
    expect(await rig.capacity.reserve(20)).toBeDefined();
    expect(await rig.capacity.reserve(1)).toBeUndefined();
  });

  test('that cannot be asked is told to the log, and max_size stands', async () => {
    const rig = await CapacityRig.open({}, false);
    rig.blind = true;
    await rig.capacity.scanned();
    expect(rig.recorder.logged).toContain(
      'warn the free space of the disk could not be read {"error":"statfs failed"}',
    );
    await rig.hold(['a', 100]);
    await rig.reserve(1);
    expect(rig.removed).toEqual(['blob a']);
  });

  test('that refuses to remove anything is tried a few times, told once, and left alone', async () => {
    const rig = await CapacityRig.open();
    for (let n = 0; n < 50; n += 1) {
      await rig.hold([`${n}`, 2]);
      rig.stuck.add(`${n}`);
    }
    expect(await rig.capacity.reserve(50)).toBeUndefined();
    expect(rig.recorder.logged.filter(line => line.startsWith('warn could not evict'))).toHaveLength(1);
    expect(rig.capacity.usage()).toMatchObject({ heldBytes: 100, blobs: 50 });
    expect(rig.unlinksTried).toBeLessThan(20);
    rig.stuck.clear();
    expect(await rig.capacity.reserve(50)).toBeDefined();
    expect(rig.removed).toEqual(Array.from({ length: 25 }, (_, n) => `blob ${n}`));
  });

  test('that refuses one file loses the next ones instead', async () => {
    const rig = await CapacityRig.open();
    await rig.leave('p', 20);
    await rig.hold(['a', 40], ['b', 40]);
    rig.stuck.add('a').add('p');
    await rig.reserve(40);
    expect(rig.removed).toEqual(['blob b']);
    expect(rig.capacity.usage()).toMatchObject({ heldBytes: 60, reservedBytes: 40 });
  });

  test('a file that is gone already is gone from the count too', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 60], ['b', 40]);
    rig.blobs.delete('a');
    await rig.reserve(60);
    expect(rig.removed).toEqual([]);
    expect(rig.total).toBe(100);
  });

  test('is looked at every ten seconds, until the end', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const rig = await CapacityRig.open({ minFreeBytes: 20, diskBytes: 100 });
    await rig.hold(['a', 40], ['b', 40]);
    rig.foreignBytes = 20;
    vi.advanceTimersByTime(9_999);
    await turn();
    expect(rig.removed).toEqual([]);
    vi.advanceTimersByTime(1);
    await rig.capacity.enforce();
    expect(rig.removed).toEqual(['blob a']);
    await rig.capacity.close();
    const { looks } = rig;
    vi.advanceTimersByTime(60_000);
    await turn();
    expect(rig.looks).toBe(looks);
  });
});

describe('before the store was scanned', () => {
  test('a reservation waits for the scan, and then knows what is held', async () => {
    const rig = await CapacityRig.open({}, false);
    expect(rig.capacity.usage().known).toBe(false);
    const reserving = rig.capacity.reserve(50);
    rig.blobs.set('a', 80);
    rig.lru.load([{ digest: rig.digest('a'), size: 80, lastUseMs: 1 }]);
    await rig.capacity.scanned();
    expect(await reserving).toBeDefined();
    expect(rig.removed).toEqual(['blob a']);
    expect(rig.capacity.usage()).toMatchObject({ known: true, reservedBytes: 50, heldBytes: 0 });
  });

  test('it waits a second at most, all together, then goes by the free disk alone; nothing is evicted', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const rig = await CapacityRig.open({ maxBytes: 0, minFreeBytes: 10, diskBytes: 100 }, false);
    let granted = false;
    const first = rig.capacity.reserve(50).then(reservation => {
      granted = reservation !== undefined;
    });
    await vi.advanceTimersByTimeAsync(999);
    await turn();
    expect(granted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    await first;
    expect(granted).toBe(true);
    expect(await rig.capacity.reserve(41)).toBeUndefined();
    rig.writtenBytes = 50; // the first one is on the disk now
    expect(await rig.capacity.reserve(41)).toBeUndefined();
    expect(await rig.capacity.reserve(40)).toBeDefined();
    await rig.hold(['a', 0]);
    rig.foreignBytes = 50;
    await rig.capacity.enforce();
    expect(rig.removed).toEqual([]);
  });

  test('what can never be kept below max_size is not even begun, and would cost the whole cache later', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const rig = await CapacityRig.open({}, false);
    const reserving = rig.capacity.reserve(101);
    await vi.advanceTimersByTimeAsync(1000);
    expect(await reserving).toBeUndefined();
    expect(await rig.capacity.reserve(60)).toBeDefined();
    expect(await rig.capacity.reserve(41)).toBeUndefined();
    rig.blobs.set('a', 40);
    rig.lru.load([{ digest: rig.digest('a'), size: 40, lastUseMs: 1 }]);
    await rig.capacity.scanned();
    expect(rig.removed).toEqual([]);
  });

  test('when the disk cannot be asked either, the write will tell', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const rig = await CapacityRig.open({ maxBytes: 0 }, false);
    const blind = await CapacityRig.open({ maxBytes: 0, diskBytes: 10 }, false);
    const reserving = [rig.capacity.reserve(1e9), blind.capacity.reserve(1e9)];
    await vi.advanceTimersByTimeAsync(1000);
    const [first, second] = await Promise.all(reserving);
    expect([first !== undefined, second !== undefined]).toEqual([true, false]);
  });

  test('more than the limit was found: the scan ends with an eviction', async () => {
    const rig = await CapacityRig.open({ lowWatermark: 0.9 }, false);
    const names = ['a', 'b', 'c', 'd'];
    for (const name of names) rig.blobs.set(name, 40);
    rig.lru.load(names.map((name, n) => ({ digest: rig.digest(name), size: 40, lastUseMs: n })));
    rig.capacity.account(10);
    await rig.capacity.scanned();
    expect(rig.removed).toEqual(['blob a', 'blob b']);
    expect(sum(rig.blobs.values())).toBe(80);
  });
});
