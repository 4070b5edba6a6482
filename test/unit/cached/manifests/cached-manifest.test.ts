/** Whether an image can be pulled whole from what is held, over real records, links and manifests. */
import { expect, test } from 'vitest';
import { CachedManifest } from '../../../../src/cached/manifests/cached-manifest.ts';
import { DescriptorSizes } from '../../../../src/content/hot-manifests.ts';
import { Gate } from '../../../support/gates.ts';
import { type BuiltImage, buildArtifact, buildImage, buildIndex } from '../../../support/images.ts';
import { isPending } from '../rig.ts';
import { MemoryOrigin, StoreRig } from '../store-rig.ts';

async function isComplete(rig: StoreRig, image: BuiltImage): Promise<boolean> {
  const held = await rig.manifests.get(image.digest, image.mediaType);
  if (held === undefined) throw new Error('expected the manifest to be held');
  const { manifests, links } = rig;
  const cached = new CachedManifest(new MemoryOrigin(), {
    offline: false,
    isGuarded: false,
    manifests,
    links,
    sizes: new DescriptorSizes(),
    isPublic: () => true,
    isHeld: async digest => rig.held.has(digest),
    signal: new AbortController().signal,
    tags: { negativeTtlMs: 60_000 },
    now: () => 0,
  });
  return cached.isComplete(await rig.record(), held);
}

test('an image is complete with all its blobs, and with none of them missing', async () => {
  const image = buildImage({ layers: ['layer a', 'layer b'] });
  const rig = await StoreRig.create();
  await rig.hold(image, await rig.record());
  expect(await isComplete(rig, image)).toBe(true);
  for (const { descriptor } of image.blobs) {
    rig.held.delete(descriptor.digest);
    expect(await isComplete(rig, image)).toBe(false);
    rig.held.add(descriptor.digest);
  }
});

test('a layer that may not be distributed is not needed', async () => {
  const image = buildImage({
    layers: ['layer a'],
    layerMediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  });
  const rig = await StoreRig.create();
  await rig.hold(image, await rig.record());
  for (const { descriptor } of image.layers) rig.held.delete(descriptor.digest);
  expect(await isComplete(rig, image)).toBe(true);
});

test('blobs that are held but not linked to this repository do not count, unless they are public', async () => {
  const image = buildImage({ layers: ['layer a'] });
  const rig = await StoreRig.create();
  const [record, other] = [await rig.record(), await rig.record('r.lan/other')];
  await rig.hold(image, other);
  expect(await isComplete(rig, image)).toBe(false);
  for (const { descriptor } of image.blobs) rig.links.link(other, descriptor.digest, true);
  expect(await isComplete(rig, image)).toBe(true);
  expect(record.isLinked(image.digest)).toBe(false);
});

test('an index is complete as soon as one of its images is', async () => {
  const index = buildIndex();
  const [amd64, arm64] = index.children;
  if (amd64 === undefined || arm64 === undefined) throw new Error('expected two children');
  const rig = await StoreRig.create();
  const record = await rig.record();
  await rig.hold(index, record);
  expect(await isComplete(rig, index)).toBe(true);
  for (const { descriptor } of amd64.layers) rig.held.delete(descriptor.digest);
  for (const { descriptor } of arm64.layers) rig.held.add(descriptor.digest);
  expect(await isComplete(rig, index)).toBe(true);
  for (const { descriptor } of arm64.layers) rig.held.delete(descriptor.digest);
  expect(await isComplete(rig, index)).toBe(false);
});

test('an image of an index counts only when its manifest came through this repository', async () => {
  const index = buildIndex();
  const rig = await StoreRig.create();
  const record = await rig.record();
  await rig.hold(index, record);
  for (const child of index.children) record.removeManifest(child.digest);
  expect(await isComplete(rig, index)).toBe(false);
});

test('an attestation is nothing that could run: it does not complete an index', async () => {
  const attestation = buildArtifact({ blobs: ['provenance'] });
  const image = buildImage({ layers: ['layer a'] });
  const index = buildIndex({
    children: [
      { image, platform: { os: 'linux', architecture: 'amd64' } },
      { image: attestation, platform: { os: 'unknown', architecture: 'unknown' } },
    ],
  });
  const rig = await StoreRig.create();
  await rig.hold(index, await rig.record());
  expect(await isComplete(rig, index)).toBe(true);
  for (const { descriptor } of image.layers) rig.held.delete(descriptor.digest);
  expect(await isComplete(rig, index)).toBe(false);
});

test('an index of nothing is complete', async () => {
  const index = buildIndex({ children: [] });
  const rig = await StoreRig.create();
  await rig.hold(index, await rig.record());
  expect(await isComplete(rig, index)).toBe(true);
});

test('while public links are still being read, a doubt waits for them', async () => {
  const image = buildImage({ layers: ['layer a'] });
  const rig = await StoreRig.create();
  const other = await rig.record('docker.io/library/other');
  await rig.hold(image, other);
  const gate = new Gate();
  void rig.links.load(
    (async function* () {
      await gate.pass();
      yield other;
    })(),
  );
  const asked = isComplete(rig, image);
  expect(await isPending(asked)).toBe(true);
  gate.release();
  expect(await asked).toBe(true);
});
