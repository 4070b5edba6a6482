import { expect, test } from 'vitest';
import { CapacityRig } from './capacity-rig.ts';

const mebibyte = 1024 * 1024;

async function rigWith(diskBytes: number, maxBytes = 0): Promise<CapacityRig> {
  return CapacityRig.open({ diskBytes, maxBytes, minFreeBytes: 0, lowWatermark: 1 });
}

test('uploads are bounded by the disk, not by max_size', async () => {
  const rig = await rigWith(100 * mebibyte, mebibyte);
  const upload = rig.capacity.uploads.open(0);
  expect(await upload.take(90 * mebibyte, 90 * mebibyte)).toBe(true);
  expect(await upload.take(101 * mebibyte, undefined)).toBe(false);
  expect(rig.capacity.uploads.reservedBytes).toBe(90 * mebibyte);
});

test('the cache gives way, the coldest first, and keeps what fits beside the upload', async () => {
  const rig = await rigWith(100 * mebibyte);
  await rig.hold(['cold', 40 * mebibyte], ['warm', 40 * mebibyte]);
  const upload = rig.capacity.uploads.open(0);
  expect(await upload.take(50 * mebibyte, 50 * mebibyte)).toBe(true);
  expect(rig.removed).toEqual(['blob cold']);
});

test('what can never fit evicts nothing', async () => {
  const rig = await rigWith(100 * mebibyte);
  await rig.hold(['cold', 40 * mebibyte]);
  const upload = rig.capacity.uploads.open(0);
  expect(await upload.take(101 * mebibyte, 101 * mebibyte)).toBe(false);
  rig.pinned.add('cold');
  expect([rig.removed, rig.capacity.uploads.reservedBytes]).toEqual([[], 0]);
});

test('room that an upload has is missing in the limit of the cache', async () => {
  const rig = await rigWith(100 * mebibyte);
  const upload = rig.capacity.uploads.open(0);
  await upload.take(60 * mebibyte, 60 * mebibyte);
  expect(rig.capacity.usage().limitBytes).toBe(40 * mebibyte);
  expect(await rig.capacity.reserve(41 * mebibyte)).toBeUndefined();
  upload.release();
  upload.release();
  expect(rig.capacity.usage().limitBytes).toBe(100 * mebibyte);
});

test('steps grow with the upload from 4 to 64 MiB, and never above a length that is known', async () => {
  const rig = await rigWith(1000 * mebibyte);
  const { uploads } = rig.capacity;
  const upload = uploads.open(0);
  const steps: number[] = [];
  for (let end = 1; end < 300 * mebibyte; end += mebibyte) {
    await upload.take(end, undefined);
    if (uploads.reservedBytes !== steps.at(-1)) steps.push(uploads.reservedBytes);
  }
  expect(steps.map(bytes => bytes / mebibyte)).toEqual([4, 8, 16, 32, 64, 128, 192, 256, 320]);
  const small = uploads.open(0);
  await small.take(10, 1000);
  expect(uploads.reservedBytes - (steps.at(-1) ?? 0)).toBe(1000);
});

test('an upload that rests keeps what it has written, and no more', async () => {
  const rig = await rigWith(100 * mebibyte);
  const { uploads } = rig.capacity;
  const upload = uploads.open(0);
  await upload.take(1000, undefined);
  upload.wrote(1000);
  upload.trim();
  expect([uploads.reservedBytes, uploads.writtenBytes]).toEqual([1000, 1000]);
  upload.release();
  expect([uploads.reservedBytes, uploads.writtenBytes]).toEqual([0, 0]);
});

test('two that fit alone: one gets the room, the other does not, and nothing stays booked of it', async () => {
  const rig = await rigWith(100 * mebibyte);
  const { uploads } = rig.capacity;
  const both = [uploads.open(0), uploads.open(0)];
  const taken = await Promise.all(both.map(upload => upload.take(60 * mebibyte, 60 * mebibyte)));
  expect([taken, uploads.reservedBytes]).toEqual([[true, false], 60 * mebibyte]);
});
