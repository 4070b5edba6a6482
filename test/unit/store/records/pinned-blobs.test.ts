/** The set of pinned digests follows the records: pins, tags that move, children that come later, restarts. */
import { stat, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import type { Digest } from '../../../../src/oci/digest.ts';
import { BlobStore } from '../../../../src/store/blobs/blob-store.ts';
import { StoreLayout } from '../../../../src/store/layout.ts';
import { PinnedBlobs } from '../../../../src/store/records/pinned-blobs.ts';
import { Records } from '../../../../src/store/records/records.ts';
import type { RepositoryRecord } from '../../../../src/store/records/repository-record.ts';
import { type BuiltImage, buildImage, buildIndex } from '../../../support/images.ts';
import { Recorder } from '../../../support/recorder.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { alpine, latest } from '../records-rig.ts';

class PinsRig {
  readonly recorder = new Recorder();
  readonly store: BlobStore;
  readonly pins: PinnedBlobs;
  readonly records: Records;
  /** `+` and `-` before the digests, as a copy would hear of them. */
  readonly changes: string[] = [];

  constructor(layout: StoreLayout) {
    const { observer, logger } = this.recorder;
    this.store = new BlobStore({ layout, observer });
    const onChange = (added: readonly Digest[], removed: readonly Digest[]) =>
      void this.changes.push(...added.map(one => `+${one}`), ...removed.map(one => `-${one}`));
    this.pins = new PinnedBlobs({ store: this.store, logger, onChange });
    this.records = new Records({
      layout,
      observer,
      logger,
      listener: this.pins,
    });
  }

  static async create(): Promise<PinsRig> {
    const rig = new PinsRig(await StoreLayout.open(await tempDir()));
    rig.pins.loaded();
    return rig;
  }

  record(name = alpine): Promise<RepositoryRecord> {
    return this.records.open(name);
  }

  /** Manifests only, or all of it. */
  async hold(record: RepositoryRecord, image: BuiltImage, what: 'manifest' | 'all' = 'all'): Promise<void> {
    const own = image.manifests.slice(what === 'manifest' ? -1 : 0);
    for (const { descriptor, bytes } of own) {
      await this.store.put(descriptor.digest, bytes);
      record.setManifest(descriptor);
    }
    if (what === 'manifest') return;
    for (const { descriptor, content } of image.blobs) {
      await this.store.put(descriptor.digest, content.slice(0, content.size));
      this.pins.held(descriptor.digest, content.size);
    }
  }

  async pinned(...digests: readonly Digest[]): Promise<boolean[]> {
    return Promise.all(digests.map(digest => this.pins.isPinned(digest)));
  }
}

function all(image: BuiltImage): Digest[] {
  return [...image.manifests, ...image.blobs].map(({ descriptor }) => descriptor.digest);
}

function bytesOf(image: BuiltImage): number {
  const sizes = new Map(image.blobs.map(({ descriptor }) => [descriptor.digest, descriptor.size]));
  return [...sizes.values()].reduce((sum, size) => sum + size, 0);
}

test('an image pinned by its tag or digest: manifest, config and layers, until it is unpinned', async () => {
  const rig = await PinsRig.create();
  const image = buildImage();
  const record = await rig.record();
  await rig.hold(record, image);
  record.setTag(latest, { descriptor: image.descriptor, checkedAt: 1 });
  expect(new Set(await rig.pinned(...all(image)))).toEqual(new Set([false]));
  for (const reference of [latest, image.digest]) {
    record.pin(reference);
    expect(new Set(await rig.pinned(...all(image)))).toEqual(new Set([true]));
    expect(rig.pins.bytes).toBe(bytesOf(image));
  }
  record.unpin(latest);
  expect(new Set(await rig.pinned(...all(image)))).toEqual(new Set([true])); // the digest still is
  record.unpin(image.digest);
  expect(new Set(await rig.pinned(...all(image)))).toEqual(new Set([false]));
  expect(rig.pins.bytes).toBe(0);
  expect(rig.changes.toSorted()).toEqual(
    [...new Set(all(image))].flatMap(d => [`+${d}`, `-${d}`]).toSorted(),
  );
});

test('a pin follows its tag', async () => {
  const rig = await PinsRig.create();
  const [before, after] = [buildImage({ layers: ['old', 'both'] }), buildImage({ layers: ['new', 'both'] })];
  const record = await rig.record();
  await rig.hold(record, before);
  await rig.hold(record, after);
  record.setTag(latest, { descriptor: before.descriptor, checkedAt: 1 });
  record.pin(latest);
  record.setTag(latest, { descriptor: after.descriptor, checkedAt: 2 });
  expect(new Set(await rig.pinned(...all(after)))).toEqual(new Set([true]));
  expect(await rig.pinned(...before.layers.map(layer => layer.descriptor.digest))).toEqual([false, true]);
  record.removeTag(latest);
  expect(new Set(await rig.pinned(...all(after)))).toEqual(new Set([false]));
  record.setTag(latest, { descriptor: before.descriptor, checkedAt: 3 });
  expect(await rig.pinned(before.digest, after.digest)).toEqual([true, false]);
});

test('children of a pinned index that come later are pinned too, through whichever repository', async () => {
  const rig = await PinsRig.create();
  const index = buildIndex();
  const [first, second] = index.children;
  if (first === undefined || second === undefined) throw new Error('expected two children');
  const record = await rig.record();
  await rig.hold(record, index, 'manifest');
  record.pin(index.digest);
  const layers = [first, second].map(child => child.layers[0]?.descriptor.digest ?? child.digest);
  expect(await rig.pinned(index.digest, ...layers)).toEqual([true, false, false]);
  await rig.hold(record, first);
  await rig.hold(await rig.record('docker.io/other/name'), second);
  expect(new Set(await rig.pinned(...all(index)))).toEqual(new Set([true]));
  expect(rig.pins.bytes).toBe(bytesOf(index));
});

test('what two repositories pin stays until both have let go of it', async () => {
  const rig = await PinsRig.create();
  const image = buildImage();
  const [one, two] = [await rig.record(), await rig.record('ghcr.io/a/b')];
  for (const record of [one, two]) {
    await rig.hold(record, image);
    record.pin(image.digest);
  }
  one.unpin(image.digest);
  expect(await rig.pinned(image.digest)).toEqual([true]);
  two.unpin(image.digest);
  expect(await rig.pinned(image.digest)).toEqual([false]);
});

test('a restart finds the pins in the records; until all are read, everything counts as pinned', async () => {
  const layout = await StoreLayout.open(await tempDir());
  const before = new PinsRig(layout);
  const [kept, other] = [buildImage({ layers: ['kept'] }), buildImage({ layers: ['other'] })];
  const record = await before.record();
  await before.hold(record, kept);
  await before.hold(record, other);
  record.setTag(latest, { descriptor: kept.descriptor, checkedAt: 1 });
  record.pin(latest);
  await record.requireWritten();
  const rig = new PinsRig(layout);
  await rig.pins.load(await rig.record());
  expect(await rig.pinned(kept.digest, other.digest)).toEqual([true, true]);
  rig.pins.loaded();
  expect(new Set(await rig.pinned(...all(kept)))).toEqual(new Set([true]));
  expect(await rig.pinned(other.digest)).toEqual([false]);
  expect(rig.pins.bytes).toBe(bytesOf(kept));
});

test('pins survive a rewrite of the record', async () => {
  const layout = await StoreLayout.open(await tempDir());
  const rig = new PinsRig(layout);
  const { descriptor, digest } = buildImage();
  const record = await rig.record();
  record.pin(digest);
  for (let n = 0; n < 2000; n += 1) record.setTag(latest, { descriptor, checkedAt: n * 1e7 });
  record.pin(latest);
  await record.requireWritten();
  expect((await stat(layout.recordPath(alpine))).size).toBeLessThan(100_000);
  expect([...(await new PinsRig(layout).record()).pins]).toEqual([digest, latest]);
});

test('a pin that can’t be written is an error for its caller', async () => {
  const layout = await StoreLayout.open(await tempDir());
  const rig = new PinsRig(layout);
  await writeFile(`${layout.recordsFolder}/docker.io`, 'in the way');
  const record = await rig.record();
  record.pin(latest);
  await expect(record.requireWritten()).rejects.toMatchObject({ name: 'StoreError', operation: 'record' });
});

test('a manifest that is damaged on disk unpins nothing', async () => {
  const rig = await PinsRig.create();
  const image = buildImage();
  const record = await rig.record();
  await rig.hold(record, image);
  record.setTag(latest, { descriptor: image.descriptor, checkedAt: 1 });
  record.pin(latest);
  expect(await rig.pinned(...all(image))).not.toContain(false);
  await rig.store.remove(image.descriptor.digest);
  record.setTag(latest, { descriptor: image.descriptor, checkedAt: 2 });
  expect(await rig.pinned(...all(image))).not.toContain(false);
  record.unpin(latest);
  expect(await rig.pinned(...all(image))).not.toContain(true);
});
