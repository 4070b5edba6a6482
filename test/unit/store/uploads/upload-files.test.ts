import { createHash } from 'node:crypto';
import { lstat, mkdir, open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { digestOf } from '../../../../src/oci/digest.ts';
import { parseRepository } from '../../../../src/oci/name.ts';
import { BlobStore } from '../../../../src/store/blobs/blob-store.ts';
import { StoreLayout } from '../../../../src/store/layout.ts';
import type { UploadFile } from '../../../../src/store/uploads/upload-file.ts';
import { UploadFiles } from '../../../../src/store/uploads/upload-files.ts';
import { patternBlob } from '../../../support/content.ts';
import { Recorder } from '../../../support/recorder.ts';
import { filesUnder, tempDir } from '../../../support/temp-dir.ts';

const id = 'a'.repeat(32);
const blob = patternBlob('upload', 3_000_000);
const bytes = blob.slice(0, blob.size);
const never = new AbortController().signal;
const noRoom = async () => false;

async function openRig(bootId = 'boot-1') {
  const layout = await StoreLayout.open(await tempDir());
  const recorder = new Recorder();
  const store = new BlobStore({ layout, observer: recorder.observer });
  const filesOf = (boot: string) => new UploadFiles({ layout, observer: recorder.observer, bootId: boot });
  return { layout, recorder, store, filesOf, files: filesOf(bootId), folder: layout.uploadsFolder };
}

function recordOf(algorithm: 'sha256' | 'sha512' = 'sha256') {
  const repository = parseRepository('team/app');
  return { id, repository, user: 'alice', beganAt: 1000, algorithm, expected: blob.digest };
}

async function write(file: UploadFile, part: Buffer): Promise<void> {
  for (let at = 0; at < part.length; at += 65_536)
    await file.write(Buffer.from(part.subarray(at, at + 65_536)), noRoom);
  await file.settle();
}

test('a session is a journal, then a part too; folder 0750, files 0640', async () => {
  const { files, folder } = await openRig();
  const file = await files.create(recordOf());
  expect(await filesUnder(folder)).toEqual([`${id}.json`]);
  await write(file, bytes);
  expect(await filesUnder(folder)).toEqual([`${id}.json`, `${id}.part`]);
  expect(JSON.parse(await readFile(join(folder, `${id}.json`), 'utf8'))).toEqual({
    version: 1,
    ...recordOf(),
    synced: 0,
    bootId: 'boot-1',
  });
  const modes = await Promise.all(
    [folder, join(folder, `${id}.json`), join(folder, `${id}.part`)].map(
      async path => (await lstat(path)).mode,
    ),
  );
  expect(modes.map(mode => mode & 0o777)).toEqual([0o750, 0o640, 0o640]);
});

test('bytes become a blob by rename; a wrong digest is seen', async () => {
  const { files, store, folder } = await openRig();
  const file = await files.create(recordOf());
  await write(file, bytes);
  expect(await file.matches(digestOf(Buffer.from('other')), never)).toBe(false);
  expect(await file.matches(blob.digest, never)).toBe(true);
  await file.handOver((handle, path) => store.commitUpload(blob.digest, handle, path));
  await file.remove();
  expect([await store.sizeOf(blob.digest), await filesUnder(folder)]).toEqual([blob.size, []]);
});

test('4 MiB in chunks of 64 KiB take at most 5 writes, are hashed once and not read back, and leave no memory', async () => {
  const { files, folder } = await openRig();
  const file = await files.create(recordOf());
  const handle = await open(join(folder, `${id}.json`));
  const prototype: { writev(): Promise<unknown>; read(): Promise<unknown> } = Object.getPrototypeOf(handle);
  await handle.close();
  const [writes, reads] = [vi.spyOn(prototype, 'writev'), vi.spyOn(prototype, 'read')];
  const hashed = vi.spyOn(createHash('sha256').constructor.prototype, 'update');
  onTestFinished(() => void vi.restoreAllMocks());
  const chunks = Array.from({ length: 64 }, (_, at) => Buffer.alloc(65_536, at));
  const whole = Buffer.concat(chunks);
  for (const chunk of chunks) await file.write(chunk, noRoom);
  await file.settle();
  expect(chunks.map(({ length }) => length)).toEqual(chunks.map(() => 0));
  expect(hashed).toHaveBeenCalledTimes(64);
  expect(await file.matches(digestOf(whole), never)).toBe(true);
  expect(hashed).toHaveBeenCalledTimes(65); // the one of `whole`
  expect(writes.mock.calls.length).toBeLessThanOrEqual(5);
  expect(reads).not.toHaveBeenCalled();
});

test('another algorithm is hashed once from the file', async () => {
  const { files } = await openRig();
  const file = await files.create(recordOf());
  await write(file, bytes);
  expect(await file.matches(digestOf(bytes, 'sha512'), never)).toBe(true);
  expect(await file.matches(digestOf(bytes.subarray(1), 'sha512'), never)).toBe(false);
});

describe('the next process', () => {
  test('after a crash of the process goes on from all that was written, and hashes it anew', async () => {
    const { files, filesOf } = await openRig();
    await write(await files.create(recordOf()), bytes.subarray(0, 2_500_000));
    const { found } = await filesOf('boot-1').sweep(0);
    const file = found[0]?.file;
    expect([found.length, file?.written, file?.record]).toEqual([1, 2_500_000, recordOf()]);
    if (file === undefined) return;
    await write(file, bytes.subarray(2_500_000));
    expect(await file.matches(blob.digest, never)).toBe(true);
  });

  test('after a power cut goes on from what was synced, and cuts the rest off', async () => {
    const { files, filesOf, folder } = await openRig();
    await write(await files.create(recordOf()), bytes);
    for (const boot of ['boot-2', '']) {
      const { found } = await filesOf(boot).sweep(0);
      expect(found.map(({ file }) => file.written)).toEqual([0]);
    }
    expect((await lstat(join(folder, `${id}.part`))).size).toBe(0);
  });

  test('syncs each 64 MiB, so that a power cut costs no more', async () => {
    const { files, filesOf, folder } = await openRig();
    const file = await files.create(recordOf());
    for (let count = 0; count < 130; count += 1) await file.write(Buffer.alloc(1024 * 1024), noRoom);
    await file.settle();
    while (JSON.parse(await readFile(join(folder, `${id}.json`), 'utf8')).synced < 64 * 1024 * 1024)
      await new Promise(setImmediate);
    const [found] = (await filesOf('boot-2').sweep(0)).found;
    expect(found?.file.written).toBeGreaterThanOrEqual(64 * 1024 * 1024);
  });

  test('removes what is foreign, torn, lonely or too old, and leaves folders alone', async () => {
    const { files, filesOf, folder } = await openRig();
    await write(await files.create(recordOf()), bytes.subarray(0, 10));
    const other = (letter: string) => letter.repeat(32);
    await writeFile(join(folder, `${other('b')}.part`), 'a part alone');
    await writeFile(join(folder, `${other('c')}.json`), '{"version":1,');
    await writeFile(join(folder, `${other('d')}.json`), JSON.stringify({ version: 1, ...recordOf() }));
    await writeFile(join(folder, 'notes.txt'), 'foreign');
    await mkdir(join(folder, 'lost+found'));
    const { found, expired } = await filesOf('boot-1').sweep(0);
    expect([found.length, expired]).toEqual([1, 0]);
    expect(await filesUnder(folder)).toEqual([`${id}.json`, `${id}.part`]);
    expect((await lstat(join(folder, 'lost+found'))).isDirectory()).toBe(true);
    const late = await filesOf('boot-1').sweep(Date.now() + 60_000);
    expect([late.found.length, late.expired, await filesUnder(folder)]).toEqual([0, 1, []]);
  });

  test('without such a folder finds nothing', async () => {
    const { files } = await openRig();
    expect(await files.sweep(0)).toEqual({ found: [], expired: 0 });
  });
});

test('a part that was cut from outside is an error, never a blob', async () => {
  const { files, store, folder } = await openRig();
  const file = await files.create(recordOf());
  await write(file, bytes);
  expect(await file.matches(blob.digest, never)).toBe(true);
  await truncate(join(folder, `${id}.part`), 100);
  const placing = file.handOver((handle, path) => store.commitUpload(blob.digest, handle, path));
  await expect(placing).rejects.toMatchObject({ name: 'StoreError', code: 'TRUNCATED' });
  expect([file.isHandedOver, await store.sizeOf(blob.digest)]).toEqual([false, undefined]);
});

test('a part that has become a blob is never written again', async () => {
  const { files, store } = await openRig();
  const file = await files.create(recordOf());
  await write(file, bytes);
  const placing = file.handOver(async (handle, path) => {
    await store.commitUpload(blob.digest, handle, path);
    throw new Error('the folder could not be synced');
  });
  await expect(placing).rejects.toThrow('the folder could not be synced');
  expect(file.isHandedOver).toBe(true);
  await expect(file.handOver(async () => {})).rejects.toMatchObject({ name: 'StoreError' });
  expect(await store.sizeOf(blob.digest)).toBe(blob.size);
});
