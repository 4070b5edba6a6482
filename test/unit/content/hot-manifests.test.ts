/** Manifests in memory and in the store, and which blobs a served one marks as used. */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect, test } from 'vitest';
import { DescriptorSizes } from '../../../src/content/hot-manifests.ts';
import { digestOf } from '../../../src/oci/digest.ts';
import { parseManifest } from '../../../src/oci/manifest.ts';
import { ociIndex, ociManifest, octetStream } from '../../../src/oci/media-type.ts';
import { buildImage, buildIndex } from '../../support/images.ts';
import { StoreRig } from '../cached/store-rig.ts';

const image = buildImage({ layers: ['layer a', 'layer b'] });

test('what was put is held in memory and in the store, and counted once', async () => {
  const rig = await StoreRig.create();
  expect(rig.manifests.peek(image.digest, undefined)).toBeUndefined();
  expect(await rig.manifests.get(image.digest, undefined)).toBeUndefined();
  const held = await rig.manifests.put(image.descriptor, image.bytes);
  expect(held).toMatchObject({ descriptor: image.descriptor, bytes: image.bytes });
  expect(rig.manifests.peek(image.digest, undefined)).toBe(held);
  expect(await rig.manifests.get(image.digest, undefined)).toBe(held);
  await rig.manifests.put(image.descriptor, image.bytes);
  expect(rig.stored).toEqual([`${image.digest} ${image.bytes.length}`]);
});

test('after a restart it comes from the store, with the type that the record knows', async () => {
  const rig = await StoreRig.create();
  await rig.manifests.put(image.descriptor, image.bytes);
  const manifests = rig.freshManifests();
  expect(manifests.peek(image.digest, undefined)).toBeUndefined();
  const held = await manifests.get(image.digest, 'application/vnd.oci.image.manifest.v1+json; charset=utf-8');
  expect(held?.descriptor).toEqual(image.descriptor);
  expect(held?.bytes).toEqual(image.bytes);
  expect(manifests.peek(image.digest, image.mediaType)?.parsed).toEqual(held?.parsed);
});

test('without a type from a record the body says what it is', async () => {
  const rig = await StoreRig.create();
  await rig.manifests.put(image.descriptor, image.bytes);
  expect((await rig.freshManifests().get(image.digest, undefined))?.descriptor.mediaType).toBe(ociManifest);
});

test('a damaged manifest is not held any more, and gone from the store', async () => {
  const rig = await StoreRig.create();
  await rig.manifests.put(image.descriptor, image.bytes);
  const damaged = Buffer.from(image.bytes);
  damaged[50] = (damaged[50] ?? 0) ^ 1;
  await writeFile(rig.layout.blobPath(image.digest), damaged);
  expect(await rig.freshManifests().get(image.digest, undefined)).toBeUndefined();
  expect(await rig.store.sizeOf(image.digest)).toBeUndefined();
  expect(rig.recorder.of('storeError')).toEqual(['storeError verify']);
  expect(rig.stored).toEqual([
    `${image.digest} ${image.bytes.length}`,
    `${image.digest} -${image.bytes.length} blob`, // no record said that it was a manifest
  ]);
});

test('a manifest that cannot be read is not held, and out of the way of the next one', async () => {
  const rig = await StoreRig.create();
  const path = rig.layout.blobPath(image.digest);
  await mkdir(path, { recursive: true });
  expect(await rig.manifests.get(image.digest, undefined)).toBeUndefined();
  expect(rig.recorder.logged.join()).toContain('EISDIR');
  await rig.manifests.put(image.descriptor, image.bytes);
  expect((await rig.freshManifests().get(image.digest, ociManifest))?.bytes).toEqual(image.bytes);
});

test('a store that takes nothing more costs no answer', async () => {
  const rig = await StoreRig.create();
  await rm(rig.layout.ingestFolder, { recursive: true });
  const held = await rig.manifests.put(image.descriptor, image.bytes);
  expect(rig.manifests.peek(image.digest, undefined)).toBe(held);
  expect(rig.stored).toEqual([]);
  expect(rig.recorder.logged.join()).toContain('the store takes no manifest');
});

test('a held blob that is no manifest is not taken for one, and stays where it is', async () => {
  const rig = await StoreRig.create();
  const layer = Buffer.from('this is a layer');
  const digest = digestOf(layer);
  await rig.store.put(digest, layer);
  expect(await rig.manifests.get(digest, undefined)).toBeUndefined();
  expect(await rig.store.sizeOf(digest)).toBe(layer.length);
});

test('a held blob that is too large for a manifest is not read into memory', async () => {
  const rig = await StoreRig.create();
  const digest = digestOf(Buffer.from('only the size counts'));
  const path = rig.layout.blobPath(digest);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, Buffer.alloc(4 * 1024 * 1024 + 1));
  expect(await rig.manifests.get(digest, undefined)).toBeUndefined();
  expect(await rig.store.sizeOf(digest)).toBe(4 * 1024 * 1024 + 1); // a damaged one would have been removed
});

test('an image that is served marks its config and layers as used', async () => {
  const rig = await StoreRig.create();
  rig.manifests.touch(await rig.manifests.put(image.descriptor, image.bytes));
  expect(rig.touched).toEqual([image.config, ...image.layers].map(blob => blob?.descriptor.digest));
});

test('an index marks the blobs of those of its images that are hot', async () => {
  const rig = await StoreRig.create();
  const index = buildIndex();
  const [amd64] = index.children;
  if (amd64 === undefined) throw new Error('expected children');
  const held = await rig.manifests.put(index.descriptor, index.bytes);
  rig.manifests.touch(held);
  expect(rig.touched).toEqual([]);
  await rig.manifests.put(amd64.descriptor, amd64.bytes);
  rig.manifests.touch(held);
  expect(rig.touched).toEqual([amd64.config, ...amd64.layers].map(blob => blob?.descriptor.digest));
});

function manifestOf(name: string, layers: number) {
  const image = buildImage({ layers: Array.from({ length: layers }, (_, at) => `${name} ${at}`) });
  return parseManifest(image.bytes, image.mediaType);
}

const wanted = manifestOf('wanted', 2);
const [layer] = wanted.layers;
const digest = layer?.digest ?? digestOf(Buffer.alloc(0));

test('a size is known to the repositories whose manifests gave it, whichever was served last', () => {
  const sizes = new DescriptorSizes();
  for (const name of ['a', 'b', 'a', 'a']) sizes.learn(name, wanted);
  expect(['a', 'b', 'c'].map(name => sizes.get(name, digest))).toEqual([layer?.size, layer?.size, undefined]);
});

test('the sizes of a manifest that is served stay, however many others come', () => {
  const sizes = new DescriptorSizes();
  const others = manifestOf('other', 7);
  for (let at = 0; at < 10_000; at += 1) {
    sizes.learn('a', wanted);
    sizes.learn(`b${at}`, others);
  }
  expect(sizes.get('a', digest)).toBe(layer?.size);
});

test('the others are forgotten when there are too many', () => {
  const sizes = new DescriptorSizes();
  sizes.learn('a', wanted);
  const others = manifestOf('other', 7);
  for (let at = 0; at < 10_000; at += 1) sizes.learn(`b${at}`, others);
  expect(sizes.get('a', digest)).toBeUndefined();
});

test('one manifest of many layers does not push out the sizes that others have said', () => {
  const sizes = new DescriptorSizes();
  const descriptorOf = (name: string) => ({
    mediaType: octetStream,
    digest: digestOf(Buffer.from(name)),
    size: 7,
  });
  const others = parseManifest(image.bytes, ociManifest);
  sizes.learn('docker.io/library/app', others);
  const fat = Array.from({ length: 34_000 }, (_, at) => descriptorOf(`layer ${at}`));
  sizes.learn('docker.io/library/fat', { kind: 'image', mediaType: ociManifest, layers: fat, manifests: [] });
  const [layer] = others.layers;
  expect(layer && sizes.get('docker.io/library/app', layer.digest)).toBe(layer?.size);
});

test("the type of the same bytes is each repository's own, in memory as after a restart, and the form follows it", async () => {
  const rig = await StoreRig.create();
  const body = { schemaVersion: 2, config: image.config?.descriptor, layers: [], manifests: [] };
  const bytes = Buffer.from(JSON.stringify(body));
  const same = { digest: digestOf(bytes), size: bytes.length };
  for (const mediaType of [ociManifest, ociIndex]) await rig.manifests.put({ ...same, mediaType }, bytes);
  for (const manifests of [rig.manifests, rig.freshManifests()]) {
    for (const [mediaType, kind] of [
      [ociManifest, 'image'],
      [ociIndex, 'index'],
    ] as const) {
      const held = await manifests.get(same.digest, mediaType);
      expect(held).toMatchObject({ descriptor: { ...same, mediaType }, parsed: { kind } });
      expect(manifests.peek(same.digest, mediaType)).toBe(held);
    }
  }
});

test.each([
  ['a type of its own that is no JSON', 'application/vnd.own', Buffer.from('no JSON')],
  [
    'an ORAS artifact manifest',
    'application/vnd.cncf.oras.artifact.manifest.v1+json',
    Buffer.from('{"blobs":[]}'),
  ],
  ['a body that does not fit its type', ociManifest, Buffer.from('{"layers":{}}')],
])('%s is kept as it came, with its type', async (_what, mediaType, bytes) => {
  const rig = await StoreRig.create();
  const descriptor = { digest: digestOf(bytes), mediaType, size: bytes.length };
  await rig.manifests.put(descriptor, bytes);
  for (const manifests of [rig.manifests, rig.freshManifests()]) {
    expect(await manifests.get(descriptor.digest, mediaType)).toMatchObject({
      descriptor,
      bytes,
      parsed: { kind: 'other', layers: [], manifests: [] },
    });
  }
});
