/** What pins do to the room: they stay, nothing else goes in vain for them, and it is said once that they leave none. */
import { expect, test } from 'vitest';
import { CapacityRig } from './capacity-rig.ts';

function notices(rig: CapacityRig): string[] {
  return rig.recorder.logged.filter(line => line.includes('pinned blobs leave no room'));
}

test('what is pinned stays however cold it is, and what is warmer goes', async () => {
  const rig = await CapacityRig.open({ countsPins: true });
  rig.pinned.add('pinned');
  await rig.hold(['pinned', 40], ['a', 30], ['b', 30]);
  await rig.reserve(60);
  expect(rig.removed).toEqual(['blob a', 'blob b']);
  expect(notices(rig)).toEqual([]);
});

test('what can only fit in the place of pins empties nothing for it, and that is said once', async () => {
  const rig = await CapacityRig.open({ countsPins: true });
  rig.pinned.add('pinned');
  await rig.hold(['pinned', 70], ['a', 10]);
  expect(await rig.capacity.reserve(31)).toBeUndefined();
  expect(await rig.capacity.reserve(31)).toBeUndefined();
  expect(rig.removed).toEqual([]);
  expect(notices(rig)).toEqual([
    'warn pinned blobs leave no room, passing new blobs through {"pinnedBytes":70,"limitBytes":100}',
  ]);
  await rig.reserve(30);
  expect(rig.removed).toEqual(['blob a']);
});

test('what is larger than the limit is no matter of pins', async () => {
  const rig = await CapacityRig.open({ countsPins: true });
  rig.pinned.add('pinned');
  await rig.hold(['pinned', 70]);
  expect(await rig.capacity.reserve(101)).toBeUndefined();
  expect(notices(rig)).toEqual([]);
});

test('another pin is another line', async () => {
  const rig = await CapacityRig.open({ countsPins: true });
  rig.pinned.add('one').add('two');
  await rig.hold(['one', 40]);
  expect(await rig.capacity.reserve(61)).toBeUndefined();
  await rig.hold(['two', 40]);
  expect(await rig.capacity.reserve(61)).toBeUndefined();
  expect(notices(rig)).toHaveLength(2);
});

test('pins above the low watermark: eviction goes down to the limit, the rest isn’t lost in vain', async () => {
  const rig = await CapacityRig.open({ countsPins: true, lowWatermark: 0.5 });
  rig.pinned.add('pinned');
  await rig.hold(['pinned', 60], ['a', 10], ['b', 10], ['c', 10], ['d', 10]);
  await rig.reserve(10);
  await rig.capacity.enforce();
  expect(rig.removed).toEqual(['blob a']);
});
