import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { type Digest, digestOf } from '../../../../src/oci/digest.ts';
import { fileIdOf } from '../../../../src/store/blobs/held-blob.ts';
import { Quarantine } from '../../../../src/store/blobs/quarantine.ts';
import { StoreLayout } from '../../../../src/store/layout.ts';
import { Recorder } from '../../../support/recorder.ts';
import { tempDir } from '../../../support/temp-dir.ts';

const digests = Array.from({ length: 6 }, (_, n) => digestOf(Buffer.from(String(n))));
const [first = digestOf(Buffer.from('none'))] = digests;

class Rig {
  readonly recorder = new Recorder();
  readonly layout: StoreLayout;
  nowMs = Date.UTC(2026, 0, 1);
  maxBytes = 1000;
  counted = 0;

  private constructor(layout: StoreLayout) {
    this.layout = layout;
  }

  static async create(): Promise<Rig> {
    return new Rig(await StoreLayout.open(await tempDir()));
  }

  open(): Quarantine {
    return new Quarantine({
      layout: this.layout,
      observer: this.recorder.observer,
      now: () => this.nowMs,
      maxBytes: () => this.maxBytes,
      counted: bytes => {
        this.counted += bytes;
      },
    });
  }

  /** Resolves with the id of the file. */
  async hold(digest: Digest, bytes: number): Promise<string> {
    const path = this.layout.blobPath(digest);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, Buffer.alloc(bytes));
    return fileIdOf(await stat(path));
  }

  /** Digests of what is there, oldest first. */
  async kept(): Promise<string[]> {
    const names = await readdir(this.layout.quarantineFolder).catch(() => []);
    return names.sort().map(name => name.replace(/^.*(sha\d+)-/, '$1:'));
  }
}

test('a file leaves its digest and is kept, and its bytes are counted', async () => {
  const rig = await Rig.create();
  await rig.hold(first, 100);
  const taken = await rig.open().take(first);
  expect(taken?.bytes).toBe(100);
  expect((await stat(taken?.path ?? '')).size).toBe(100);
  expect([await rig.kept(), rig.counted]).toEqual([[first], 100]);
  await expect(stat(rig.layout.blobPath(first))).rejects.toThrow('ENOENT');
});

test('only the file that is meant is taken: another one may have come into its place', async () => {
  const rig = await Rig.create();
  const fileId = await rig.hold(first, 100);
  expect(await rig.open().take(first, `${fileId}0`)).toBeUndefined();
  expect((await stat(rig.layout.blobPath(first))).size).toBe(100);
  expect(await rig.open().take(first, fileId)).toMatchObject({ bytes: 100 });
  expect(await rig.open().take(first, fileId)).toBeUndefined();
});

test('the newest four are kept', async () => {
  const rig = await Rig.create();
  const quarantine = rig.open();
  for (const digest of digests) {
    await rig.hold(digest, 10);
    rig.nowMs += 1;
    await quarantine.take(digest);
  }
  expect([await rig.kept(), rig.counted]).toEqual([digests.slice(2), 40]);
});

test('no more bytes are kept than may be; what is larger by itself is removed', async () => {
  const rig = await Rig.create();
  const quarantine = rig.open();
  for (const [index, digest] of digests.slice(0, 3).entries()) {
    await rig.hold(digest, 400);
    rig.nowMs += 1;
    expect((await quarantine.take(digest))?.bytes).toBe(400);
    expect(rig.counted).toBe(Math.min(index + 1, 2) * 400);
  }
  expect(await rig.kept()).toEqual(digests.slice(1, 3));
  await rig.hold(first, 1001);
  expect(await quarantine.take(first)).toEqual({ bytes: 1001, path: undefined });
  expect(rig.counted).toBe(800);
  await expect(stat(rig.layout.blobPath(first))).rejects.toThrow('ENOENT');
});

test('the same digest twice in the same moment: both are kept', async () => {
  const rig = await Rig.create();
  const quarantine = rig.open();
  for (let count = 0; count < 2; count += 1) {
    await rig.hold(first, 10);
    await quarantine.take(first);
  }
  expect([await rig.kept(), rig.counted]).toEqual([[first, first], 20]);
});

test('what an earlier process has left is counted once, and goes first', async () => {
  const rig = await Rig.create();
  const earlier = rig.open();
  for (const digest of digests.slice(0, 4)) {
    await rig.hold(digest, 10);
    rig.nowMs += 1;
    await earlier.take(digest);
  }
  rig.counted = 0;
  const later = rig.open();
  await Promise.all([later.load(), later.load()]);
  expect(rig.counted).toBe(40);
  const [, , , , fifth = first] = digests;
  await rig.hold(fifth, 10);
  rig.nowMs += 1;
  await later.take(fifth);
  expect([await rig.kept(), rig.counted]).toEqual([digests.slice(1, 5), 40]);
});

test('a folder in the place of a blob is moved, counts nothing and is never removed', async () => {
  const rig = await Rig.create();
  const quarantine = rig.open();
  await mkdir(rig.layout.blobPath(first), { recursive: true });
  expect(await quarantine.take(first)).toMatchObject({ bytes: 0 });
  for (const digest of digests.slice(1)) {
    await rig.hold(digest, 10);
    rig.nowMs += 1;
    await quarantine.take(digest);
  }
  expect([await rig.kept(), rig.counted]).toEqual([[first, ...digests.slice(2)], 40]);
});

test('where nothing can be kept, the file is removed all the same', async () => {
  const rig = await Rig.create();
  await rig.hold(first, 100);
  await writeFile(rig.layout.quarantineFolder, 'in the way');
  expect(await rig.open().take(first)).toEqual({ bytes: 100, path: undefined });
  await expect(stat(rig.layout.blobPath(first))).rejects.toThrow('ENOENT');
  expect(rig.counted).toBe(0);
});

test('what can neither be moved nor removed is an error, reported', async () => {
  const rig = await Rig.create();
  await mkdir(rig.layout.blobPath(first), { recursive: true });
  await writeFile(rig.layout.quarantineFolder, 'in the way');
  await expect(rig.open().take(first)).rejects.toMatchObject({ operation: 'rename' });
  expect(rig.recorder.of('storeError')).toContain('storeError rename');
});
