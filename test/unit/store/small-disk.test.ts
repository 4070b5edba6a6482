/** The store on a disk that has no room, and on one that can't be written: real ones, so it needs root. */
import { execFileSync, spawnSync } from 'node:child_process';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { BlobStore } from '../../../src/store/blobs/blob-store.ts';
import { sweepIngests } from '../../../src/store/ingest/sweep.ts';
import { StoreLayout } from '../../../src/store/layout.ts';
import { Records } from '../../../src/store/records/records.ts';
import { Recorder } from '../../support/recorder.ts';
import { requires } from '../../support/requires.ts';
import { filesUnder, tempDir } from '../../support/temp-dir.ts';

const mebibyte = 1024 * 1024;
const small = Buffer.from('a small blob');
const large = Buffer.alloc(2 * mebibyte, 'x');
const alpine = 'docker.io/library/alpine';

/** A file system of 1 MiB with a store on it, unmounted after the test. */
async function storeOnSmallDisk() {
  const disk = await tempDir();
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibyte}`, 'cistern-test', disk]);
  onTestFinished(() => {
    execFileSync('umount', ['-l', disk]);
  });
  const layout = await StoreLayout.open(join(disk, 'data'));
  const recorder = new Recorder();
  const { observer, logger } = recorder;
  return {
    disk,
    layout,
    recorder,
    store: new BlobStore({ layout, observer }),
    records: new Records({ layout, observer, logger }),
  };
}

async function fillUp(disk: string): Promise<void> {
  await writeFile(join(disk, 'filler'), large).catch(() => {});
  expect((await stat(join(disk, 'filler'))).size).toBeGreaterThan(mebibyte / 2);
}

requires('root', 'tmpfs')('the store', () => {
  test('on a full disk says so, leaves no file, and goes on when there is room', async () => {
    const { disk, layout, recorder, store } = await storeOnSmallDisk();
    const digest = digestOf(large);
    await expect(store.put(digest, large)).rejects.toMatchObject({
      name: 'StoreError',
      operation: 'write',
      code: 'ENOSPC',
      isFull: true,
    });
    expect([await filesUnder(layout.ingestFolder), recorder.events]).toEqual([[], ['storeError write']]);
    expect(await store.sizeOf(digest)).toBeUndefined();
    expect(await store.put(digestOf(small), small)).toBe(true);
    await fillUp(disk);
    const { free, total } = await store.freeBytes();
    expect([free, total]).toEqual([0, mebibyte]);
  });

  test('on a full disk: a record goes on in memory, tells what was lost, and writes again when there is room', async () => {
    const { disk, layout, recorder, records } = await storeOnSmallDisk();
    const record = await records.open(alpine);
    const first = digestOf(Buffer.from('first'));
    const last = digestOf(Buffer.from('last'));
    const many = Array.from({ length: 200 }, (_, n) => digestOf(Buffer.from(String(n))));
    record.link(first);
    await record.flush();
    await fillUp(disk);
    for (const digest of many) record.link(digest);
    await record.flush(); // some lines fit, then one is torn
    expect(many.every(digest => record.isLinked(digest))).toBe(true);
    expect(recorder.events).toEqual(['storeError record']);
    expect(recorder.logged).toEqual([expect.stringContaining('warn a record could not be written')]);

    await writeFile(join(disk, 'filler'), '');
    record.link(last);
    await record.flush();
    const parts = recorderParts();
    const reopened = await new Records({ layout, ...parts }).open(alpine);
    expect([reopened.isLinked(first), reopened.isLinked(last)]).toEqual([true, true]);
    expect(many.every(digest => reopened.isLinked(digest))).toBe(false);
  });

  test('on a read-only disk reads what it has and fails to write; that disk is not full', async () => {
    const { disk, layout, recorder, store, records } = await storeOnSmallDisk();
    const digest: Digest = digestOf(small);
    await store.put(digest, small);
    const record = await records.open(alpine);
    record.link(digest);
    await record.flush();
    await writeFile(join(layout.ingestFolder, 'tmp-litter'), '');
    remount(disk, 'ro');
    onTestFinished(() => remount(disk, 'rw'));

    const other = Buffer.from('another');
    await expect(store.put(digestOf(other), other)).rejects.toMatchObject({ code: 'EROFS', isFull: false });
    await expect(store.remove(digest)).rejects.toMatchObject({ operation: 'unlink', code: 'EROFS' });
    await expect(store.setLastUse(digest, 1)).rejects.toMatchObject({ operation: 'write', code: 'EROFS' });
    record.unlink(digest);
    await record.flush();
    expect(recorder.of('storeError')).toEqual(
      ['write', 'unlink', 'write', 'record'].map(op => `storeError ${op}`),
    );

    const held = await store.open(digest);
    const into = Buffer.alloc(small.length);
    await held?.read(into, 0);
    await held?.close();
    expect(into).toEqual(small);
    const sweep = {
      layout,
      observer: recorder.observer,
      partialTtlMs: 0,
      now: Date.now,
      isActive: () => false,
    };
    expect(await sweepIngests(sweep)).toEqual([]);
    const reopened = await new Records({ layout, ...recorderParts() }).open(alpine);
    expect(reopened.isLinked(digest)).toBe(true);
    expect((await StoreLayout.open(layout.path)).id).toBe(layout.id);
  });
});

function recorderParts() {
  const { observer, logger } = new Recorder();
  return { observer, logger };
}

function remount(disk: string, mode: 'ro' | 'rw'): void {
  const { status, stderr } = spawnSync('mount', ['-o', `remount,${mode}`, disk]);
  if (status !== 0) throw new Error(`expected to remount ${disk}: ${stderr}`);
}
