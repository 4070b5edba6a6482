/** Who gets room, and what goes for it. Sizes are small numbers; the limit is 100 unless said otherwise. */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Gate } from '../../support/gates.ts';
import { CapacityRig } from './capacity-rig.ts';

describe('room', () => {
  test('that is there is given at once and evicts nothing', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 60]);
    await rig.reserve(40);
    expect(rig.capacity.usage()).toMatchObject({
      heldBytes: 60,
      reservedBytes: 40,
      limitBytes: 100,
      blobs: 1,
    });
    expect(rig.removed).toEqual([]);
  });

  test('is made by removing the least recently used, and no more than needed', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 30], ['b', 30], ['c', 30]);
    rig.touch('a');
    await rig.reserve(50);
    expect(rig.removed).toEqual(['blob b', 'blob c']);
    expect(rig.total).toBe(80);
    expect(rig.recorder.of('evicted')).toHaveLength(2);
    const lines = () => rig.recorder.logged.filter(line => line.startsWith('info evicted'));
    await expect.poll(lines).toEqual(['info evicted {"blobs":2,"partials":0,"bytes":60}']);
  });

  test('an eviction is reported with its bytes and the time since the last use', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 30]);
    const { lastUseMs = 0 } = (await rig.lru.coldest(1))[0] ?? {};
    rig.nowMs = lastUseMs + 60_000;
    await rig.reserve(100);
    const [, bytes, age] = rig.recorder.of('evicted')[0]?.split(' ') ?? [];
    expect(bytes).toBe('30');
    expect(Number(age)).toBeGreaterThanOrEqual(60);
    expect(Number(age)).toBeLessThan(61);
  });

  test('for more than can ever fit is refused at once, and nothing is evicted in vain', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 50]);
    rig.capacity.account(10);
    await rig.reserve(20);
    expect(await rig.capacity.reserve(71)).toBeUndefined();
    expect(rig.removed).toEqual([]);
    expect(await rig.capacity.reserve(70)).toBeDefined();
    expect(rig.removed).toEqual(['blob a']);
  });

  test('is not there when what is left may not go; what may go is gone then', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 40], ['b', 40]);
    rig.pinned.add('a');
    expect(await rig.capacity.reserve(70)).toBeUndefined();
    expect(rig.removed).toEqual(['blob b']);
    expect(rig.capacity.usage()).toMatchObject({ heldBytes: 40, reservedBytes: 0 });
  });

  test('a long row of blobs that may not go, at the cold end, is walked past', async () => {
    const rig = await CapacityRig.open({ maxBytes: 200 });
    for (let n = 0; n < 150; n += 1) {
      await rig.hold([`pinned ${n}`, 1]);
      rig.pinned.add(`pinned ${n}`);
    }
    await rig.hold(['a', 30], ['b', 20]);
    await rig.reserve(30);
    expect(rig.removed).toEqual(['blob a']);
  });

  test('fifty at once share it: as many as fit get it, one file is removed at a time', async () => {
    const rig = await CapacityRig.open({ maxBytes: 1000 });
    for (let n = 0; n < 100; n += 1) await rig.hold([`blob ${n}`, 10]);
    const reservations = await Promise.all(Array.from({ length: 50 }, () => rig.capacity.reserve(20)));
    expect(reservations.filter(reservation => reservation !== undefined)).toHaveLength(50);
    expect(rig.removed).toEqual(Array.from({ length: 100 }, (_, n) => `blob blob ${n}`));
    expect([rig.mostUnlinksAtOnce, rig.total]).toEqual([1, 1000]);
  });

  test('fifty at once that want more than there is: the first ones get it, the others are sent away', async () => {
    const rig = await CapacityRig.open({ maxBytes: 1000 });
    await rig.hold(['a', 500], ['b', 500]);
    const reservations = await Promise.all(Array.from({ length: 50 }, () => rig.capacity.reserve(30)));
    expect(reservations.map(reservation => reservation !== undefined)).toEqual(
      Array.from({ length: 50 }, (_, n) => n < 33),
    );
    expect(rig.total).toBe(990);
  });

  test('who waits gets it as soon as it is there, while the eviction goes on in the background', async () => {
    const gates = [new Gate(), new Gate(), new Gate()];
    let unlinks = 0;
    const rig = await CapacityRig.open({
      lowWatermark: 0.5,
      unlinkTakes: async () => {
        const gate = gates[unlinks];
        unlinks += 1;
        await gate?.pass();
      },
    });
    await rig.hold(['a', 20], ['b', 30], ['c', 50]);
    const reserving = rig.reserve(10);
    await gates[0]?.reached;
    gates[0]?.release();
    await reserving;
    expect(rig.removed).toEqual(['blob a']);
    await gates[1]?.reached;
    expect(rig.total).toBe(90);
    for (const gate of gates) gate.release();
    await rig.capacity.enforce();
    expect(rig.removed).toEqual(['blob a', 'blob b', 'blob c']);
  });

  test('who comes small while a large one waits does not overtake it', async () => {
    const gate = new Gate();
    const rig = await CapacityRig.open({ unlinkTakes: () => gate.pass() });
    await rig.hold(['a', 60], ['b', 30]);
    const order: string[] = [];
    const large = rig.capacity.reserve(50).then(() => order.push('large'));
    await gate.reached;
    const small = rig.capacity.reserve(10).then(() => order.push('small'));
    await turn();
    expect(order).toEqual([]);
    gate.release();
    await Promise.all([large, small]);
    expect(order).toEqual(['large', 'small']);
  });
});

describe('the low watermark', () => {
  test('is how far an eviction goes once it runs, and not before', async () => {
    const rig = await CapacityRig.open({ lowWatermark: 0.5 });
    for (let n = 0; n < 10; n += 1) await rig.hold([`${n}`, 10]);
    await rig.capacity.enforce();
    expect(rig.removed).toEqual([]); // full to the brim is not above the limit
    await rig.reserve(1);
    await rig.capacity.enforce();
    expect(rig.removed).toEqual(['blob 0', 'blob 1', 'blob 2', 'blob 3', 'blob 4', 'blob 5']);
    expect(rig.total).toBe(41);
  });

  test('what can never get below it does not take the rest of the cache with it', async () => {
    const rig = await CapacityRig.open({ lowWatermark: 0.5 });
    await rig.hold(['a', 20], ['b', 20], ['c', 20], ['d', 20]);
    await rig.reserve(60);
    await rig.capacity.enforce();
    expect(rig.removed).toEqual(['blob a', 'blob b']);
    expect(rig.total).toBe(100);
  });
});

describe('closing', () => {
  test('sends away who waits, after the removal under way', async () => {
    const gate = new Gate();
    const rig = await CapacityRig.open({ unlinkTakes: () => gate.pass() });
    await rig.hold(['a', 30], ['b', 30], ['c', 30]);
    const reserving = rig.capacity.reserve(80);
    await gate.reached;
    let closed = false;
    const closing = Promise.all([rig.capacity.close(), rig.capacity.close()]).then(() => {
      closed = true;
    });
    await turn();
    expect(closed).toBe(false);
    gate.release();
    await closing;
    expect(await reserving).toBeUndefined();
    expect(rig.removed).toEqual(['blob a']);
  });

  test('sends away who waits for the scan, and who comes later', async () => {
    const rig = await CapacityRig.open({}, false);
    const reserving = rig.capacity.reserve(10);
    await rig.capacity.close();
    expect([await reserving, await rig.capacity.reserve(10)]).toEqual([undefined, undefined]);
    expect(rig.total).toBe(0);
  });

  test('evicts nothing any more', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 60]);
    await rig.capacity.close();
    rig.capacity.account(100);
    await rig.capacity.enforce();
    expect(rig.removed).toEqual([]);
  });
});

describe('sizes that are not known for sure', () => {
  test('a promised rest evicts nothing until its bytes come, and keeps others from promising the same room', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 30], ['b', 30], ['c', 30]);
    const first = await rig.capacity.reserve(10, rig.digest('x'), 90);
    expect([first?.bytes, rig.removed]).toEqual([10, []]);
    expect(await rig.capacity.reserve(10, rig.digest('y'), 20)).toBeUndefined();
    expect(rig.removed).toEqual([]);
    expect([await first?.grow(10, 90), rig.removed]).toEqual([true, ['blob a']]);
    expect(await first?.grow(70, 90)).toBe(true);
    first?.release();
    expect(await rig.capacity.reserve(10, rig.digest('y'), 100)).toBeDefined();
  });

  test('bodies without a length leave half of what was held, one after the other and beside each other', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(...Array.from({ length: 10 }, (_, index) => [`held ${index}`, 10] as const));
    for (const name of ['x', 'y']) {
      const [first, second] = await Promise.all(
        ['1', '2'].map(part => rig.capacity.reserve(10, rig.digest(name + part), 'unknown')),
      );
      while ((await first?.grow(10, 'unknown')) || (await second?.grow(10, 'unknown'))) {
        // until none gets more
      }
      expect(rig.blobs.size).toBe(5);
      first?.release();
      second?.release();
    }
  });
});

describe('records', () => {
  test('count, and go in the order of their last use among the blobs; their manifests are given back', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 20], ['b', 20]);
    const [a, b] = await rig.lru.coldest(2);
    rig.capacity.account(10);
    rig.recordBytes = 10;
    rig.unused = [
      { name: 'x', bytes: 5, lastUseMs: (a?.lastUseMs ?? 0) - 1 },
      { name: 'y', bytes: 5, lastUseMs: (b?.lastUseMs ?? 0) - 1 },
      { name: 'z', bytes: 0, lastUseMs: (b?.lastUseMs ?? 0) + 1 },
    ];
    expect(rig.capacity.usage().heldBytes).toBe(60);
    await rig.reserve(45);
    expect([rig.removed, rig.total]).toEqual([['record x'], 100]);
    await rig.reserve(20);
    expect([rig.removed, rig.total]).toEqual([['record x', 'blob a'], 100]);
    await rig.reserve(20);
    expect([rig.removed, rig.total]).toEqual([['record x', 'blob a', 'record y', 'blob b'], 95]);
    rig.recordBytes = 20;
    await rig.capacity.enforce();
    expect(rig.removed.at(-1)).toBe('record z');
  });
});
