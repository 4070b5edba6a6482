/** What capacity counts beside blobs: partials, reservations in all their ends, manifests. The limit is 100. */
import { describe, expect, test, vi } from 'vitest';
import { Gate } from '../../support/gates.ts';
import { CapacityRig } from './capacity-rig.ts';

describe('partials', () => {
  test('count, and go before any blob, the one that grew last at the end', async () => {
    const rig = await CapacityRig.open();
    await rig.leave('p', 20);
    await rig.hold(['a', 20]);
    await rig.leave('q', 20);
    await rig.leave('r', 20);
    rig.capacity.addPartials([{ digest: rig.digest('p'), bytes: 99, lastUseMs: Infinity }]); // known already
    expect(rig.capacity.usage()).toMatchObject({ heldBytes: 80, blobs: 1 });
    await rig.reserve(60);
    expect(rig.removed).toEqual(['partial p', 'partial q']);
    await rig.reserve(40);
    expect(rig.removed).toEqual(['partial p', 'partial q', 'partial r', 'blob a']);
    expect(rig.recorder.of('evicted')).toEqual([expect.stringMatching(/^evicted 20 /)]); // blobs only
  });

  test('that a sweep found go by the age of their files', async () => {
    const rig = await CapacityRig.open();
    for (const [name, bytes, lastUseMs] of [
      ['young', 40, 2000],
      ['old', 40, 1000],
    ] as const) {
      rig.partials.set(name, bytes);
      rig.capacity.addPartials([{ digest: rig.digest(name), bytes, lastUseMs }]);
    }
    await rig.reserve(30);
    expect(rig.removed).toEqual(['partial old']);
  });

  test('that a download fills are not taken over from a sweep, and not removed', async () => {
    const rig = await CapacityRig.open();
    rig.active.add('filled');
    rig.capacity.addPartials([{ digest: rig.digest('filled'), bytes: 50, lastUseMs: 1 }]);
    expect(rig.total).toBe(0);
    await rig.leave('later', 50);
    rig.active.add('later');
    await rig.hold(['a', 50]);
    await rig.reserve(50);
    expect(rig.removed).toEqual(['blob a']);
  });

  test('that are gone on with stop counting by themselves: their bytes are part of the reservation', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 40]);
    await rig.leave('p', 30);
    const reservation = await rig.reserve(60, 'p');
    expect(rig.capacity.usage()).toMatchObject({ heldBytes: 40, reservedBytes: 60 });
    expect(rig.removed).toEqual([]);
    rig.settle(reservation, 'p', 60);
    expect(rig.capacity.usage()).toMatchObject({ heldBytes: 100, reservedBytes: 0, blobs: 2 });
  });

  test('that could not be opened count again if they are still on disk', async () => {
    const rig = await CapacityRig.open();
    await rig.leave('p', 30);
    (await rig.reserve(60, 'p')).release();
    expect(rig.total).toBe(0);
    rig.capacity.partialLeft(rig.digest('p'));
    rig.capacity.partialLeft(rig.digest('gone'));
    await vi.waitFor(() => expect(rig.capacity.usage().partialBytes).toBe(30));
  });

  test('whose owner waits for room are not removed to make that room', async () => {
    const rig = await CapacityRig.open();
    await rig.leave('p', 30);
    await rig.hold(['a', 70]);
    await rig.reserve(50, 'p');
    expect(rig.removed).toEqual(['blob a']);
    expect(rig.total).toBe(50);
  });

  test('a blob that is settled counts once, though a partial of it was known', async () => {
    const rig = await CapacityRig.open();
    await rig.leave('p', 30);
    rig.settle(await rig.reserve(40), 'p', 40);
    expect(rig.capacity.usage()).toMatchObject({ heldBytes: 40, blobs: 1 });
  });

  test('a partial that is kept once more counts once', async () => {
    const rig = await CapacityRig.open();
    await rig.leave('p', 30);
    const again = await rig.reserve(40, 'p');
    again.keepPartial(rig.digest('p'), 35);
    expect(rig.capacity.usage()).toMatchObject({ heldBytes: 35, reservedBytes: 0 });
  });
});

describe('a reservation', () => {
  test('grows while there is room, makes room for that, and keeps what it has when there is none', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 50]);
    const reservation = await rig.reserve(20);
    expect(await reservation.grow(30)).toBe(true);
    expect(rig.removed).toEqual([]);
    expect(await reservation.grow(40)).toBe(true);
    expect(rig.removed).toEqual(['blob a']);
    expect(await reservation.grow(11)).toBe(false);
    expect([reservation.bytes, rig.total]).toEqual([90, 90]);
  });

  test('gives back what a settled blob did not need', async () => {
    const rig = await CapacityRig.open();
    const reservation = await rig.reserve(80);
    rig.settle(reservation, 'a', 30);
    expect(rig.capacity.usage()).toMatchObject({ heldBytes: 30, reservedBytes: 0 });
  });

  test('a blob that turned out larger than reserved is held, and others go for it', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 60]);
    rig.settle(await rig.reserve(40), 'b', 70);
    await rig.capacity.enforce();
    expect(rig.removed).toEqual(['blob a']);
    expect(rig.total).toBe(70);
  });

  test('ends once, in whichever way was first', async () => {
    const rig = await CapacityRig.open();
    const reservation = await rig.reserve(50);
    reservation.settle(rig.digest('a'), 40);
    reservation.keepPartial(rig.digest('a'), 10);
    reservation.release();
    reservation.release();
    expect(rig.capacity.usage()).toMatchObject({ heldBytes: 40, reservedBytes: 0, blobs: 1 });
    expect([await reservation.grow(1), await reservation.makeRoom()]).toEqual([false, false]);
    expect(rig.total).toBe(40);
  });

  test('that ends while it waits to grow books nothing', async () => {
    const gate = new Gate();
    const rig = await CapacityRig.open({ unlinkTakes: () => gate.pass() });
    await rig.hold(['a', 60]);
    const reservation = await rig.reserve(40);
    const growing = reservation.grow(10);
    await gate.reached;
    reservation.release();
    gate.release();
    expect(await growing).toBe(false);
    expect(rig.capacity.usage().reservedBytes).toBe(0);
  });
});

describe('making room although the limit is not reached', () => {
  test('removes at least 16 MiB, or half of what is held where that is less', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 10], ['b', 10], ['c', 10], ['d', 10]);
    const reservation = await rig.reserve(5);
    expect(await reservation.makeRoom()).toBe(true);
    expect(rig.removed).toEqual(['blob a', 'blob b']);
    await rig.hold(['e', 75]); // and then it is over: the limit rules again
    await rig.reserve(5);
    expect(rig.removed).toEqual(['blob a', 'blob b', 'blob c']);
  });

  test.each([
    { blobs: 20, goes: 2, why: 'no further than those 16 MiB' },
    { blobs: 200, goes: 4, why: 'as far as a fiftieth of a large cache' },
  ])('goes $why', async ({ blobs, goes }) => {
    const mebibyte = 1024 * 1024;
    const rig = await CapacityRig.open({ maxBytes: 3000 * mebibyte });
    for (let n = 0; n < blobs; n += 1) await rig.hold([`${n}`, 10 * mebibyte]);
    await (await rig.reserve(1)).makeRoom();
    expect(rig.removed).toEqual(Array.from({ length: goes }, (_, n) => `blob ${n}`));
  });

  test('says when nothing could be freed', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 10]);
    rig.pinned.add('a');
    const reservation = await rig.reserve(5);
    expect(await reservation.makeRoom()).toBe(false);
    expect(reservation.bytes).toBe(5);
  });

  test('several that ask at once each learn that something was freed', async () => {
    const rig = await CapacityRig.open();
    for (let n = 0; n < 8; n += 1) await rig.hold([`${n}`, 10]);
    const reservations = await Promise.all([rig.reserve(1), rig.reserve(1), rig.reserve(1)]);
    const made = await Promise.all(reservations.map(reservation => reservation.makeRoom()));
    expect(made).toEqual([true, true, true]);
    expect(rig.removed).toEqual(['blob 0', 'blob 1', 'blob 2', 'blob 3']);
  });
});

describe('manifests', () => {
  test('count but never go: above the limit blobs go at once', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 50], ['b', 50]);
    rig.capacity.account(10);
    await rig.capacity.enforce();
    expect(rig.removed).toEqual(['blob a']);
    expect(rig.capacity.usage().heldBytes).toBe(60);
    rig.capacity.account(-10);
    expect(rig.capacity.usage().heldBytes).toBe(50);
  });

  test('alone above the limit they leave no room, and the eviction ends all the same', async () => {
    const rig = await CapacityRig.open();
    await rig.hold(['a', 50]);
    rig.capacity.account(101);
    await rig.capacity.enforce();
    expect(rig.removed).toEqual(['blob a']);
    expect(await rig.capacity.reserve(1)).toBeUndefined();
  });
});
