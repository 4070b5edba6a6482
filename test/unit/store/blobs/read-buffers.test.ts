import { expect, test } from 'vitest';
import { ReadBuffers } from '../../../../src/store/blobs/read-buffers.ts';

const kib = 1024;

test('few readers get large buffers, many share 32 MiB, and none gets less than 64 KiB', () => {
  const buffers = new ReadBuffers();
  const given = Array.from({ length: 1000 }, () => buffers.enter() / kib);
  expect([1, 64, 65, 128, 129, 256, 257, 512, 1000].map(count => given[count - 1])).toEqual([
    512, 512, 256, 256, 128, 128, 64, 64, 64,
  ]);
});

test('who leaves makes room for larger ones', () => {
  const buffers = new ReadBuffers();
  for (let readers = 0; readers < 200; readers += 1) buffers.enter();
  for (let readers = 0; readers < 199; readers += 1) buffers.leave();
  expect(buffers.enter()).toBe(512 * kib);
});
