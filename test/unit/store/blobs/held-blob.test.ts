import { readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../../../src/oci/digest.ts';
import { BlobStore } from '../../../../src/store/blobs/blob-store.ts';
import { markSeconds, ReadBuffers, verifiedMsOf } from '../../../../src/store/blobs/held-blob.ts';
import { StoreLayout } from '../../../../src/store/layout.ts';
import { Recorder } from '../../../support/recorder.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const noonMs = Date.UTC(2027, 0, 1, 12);

async function holdOne() {
  const { observer } = new Recorder();
  const layout = await StoreLayout.open(await tempDir());
  const store = new BlobStore({ layout, observer });
  const bytes = Buffer.from('held');
  const digest = digestOf(bytes);
  await store.put(digest, bytes);
  const verifiedMs = async () => {
    const held = await store.open(digest);
    await held?.close();
    return held?.verifiedMs;
  };
  return { store, digest, path: layout.blobPath(digest), verifiedMs };
}

test.each([0, 1, noonMs, noonMs + 999])(
  'a time of %i ms comes back from the disk to the second',
  async ms => {
    const path = join(await tempDir(), 'file');
    await writeFile(path, '');
    await utimes(path, markSeconds(ms), 1);
    const { atimeMs } = await stat(path);
    expect(verifiedMsOf({ atimeMs, birthtimeMs: 0 })).toBe(Math.floor(ms / 1000) * 1000 + 625);
  },
);

test('an atime that is not ours says nothing: then it is the birth of the file, or nothing is known', () => {
  expect(verifiedMsOf({ atimeMs: noonMs, birthtimeMs: 5000 })).toBe(5000);
  expect(verifiedMsOf({ atimeMs: noonMs + 624.9, birthtimeMs: 0 })).toBe(0);
});

test('a file is not older than its birth, whatever time was copied to it', () => {
  expect(verifiedMsOf({ atimeMs: 1625, birthtimeMs: noonMs })).toBe(noonMs);
});

test('what was just stored was verified at its birth', async () => {
  const { path, verifiedMs } = await holdOne();
  expect(await verifiedMs()).toBe((await stat(path)).birthtimeMs);
});

test('uses and verifications are kept side by side, and reading by the store changes neither', async () => {
  const { store, digest, path, verifiedMs } = await holdOne();
  const later = Math.ceil(Date.now() / 1000) * 1000 + 60_000;
  await store.setVerified(digest, later);
  await store.setLastUse(digest, later + 5000);
  const held = await store.open(digest);
  await held?.read(Buffer.alloc(4), 0);
  await held?.close();
  expect([await verifiedMs(), (await stat(path)).mtimeMs]).toEqual([later + 625, later + 5000]);
  await store.setVerified(digest, later + 10_000);
  expect([await verifiedMs(), (await stat(path)).mtimeMs]).toEqual([later + 10_625, later + 5000]);
});

test('a foreign reader costs a check, and puts none off', async () => {
  const { store, digest, path, verifiedMs } = await holdOne();
  await store.setVerified(digest, Date.now() + 60_000);
  await utimes(path, Date.now() / 1000 + 120, Date.now() / 1000); // as a backup program might leave it
  await readFile(path);
  expect(await verifiedMs()).toBe((await stat(path)).birthtimeMs);
});

test('times of a blob that is not held: nothing happens', async () => {
  const { store } = await holdOne();
  const other = digestOf(Buffer.from('another'));
  await store.setVerified(other, noonMs);
  expect(await store.sizeOf(other)).toBeUndefined();
});

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
