/** Which parts of an image are missing, against images of every shape that an index may have. */
import { expect, test } from 'vitest';
import { parseManifest } from '../../../../src/oci/manifest.ts';
import { findMissing } from '../../../../src/store/records/image-tree.ts';
import { type BuiltImage, buildImage, buildIndex } from '../../../support/images.ts';

const foreignLayer = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
const one = buildImage({ layers: ['one', 'shared'] });
const two = buildImage({ layers: ['two', 'shared'] });
const attestation = buildImage({
  layers: ['attestation'],
  platform: { os: 'unknown', architecture: 'unknown' },
});

/** Digests that are missing of `image` when all of it is held but `absent`. Undefined: complete. `reads`: manifests that were read. */
async function missingOf(image: BuiltImage, absent: readonly string[], asked: readonly string[] = []) {
  const reads: string[] = [];
  const missing = await findMissing(parseManifest(image.bytes, image.descriptor.mediaType), {
    manifest: async digest => {
      reads.push(digest);
      const found = image.manifests.find(manifest => manifest.descriptor.digest === digest);
      if (found === undefined || absent.includes(digest)) return undefined;
      return parseManifest(found.bytes, found.descriptor.mediaType);
    },
    hasBlob: async digest => !absent.includes(digest),
    wasAsked: digest => asked.includes(digest),
  });
  return { reads, missing: missing && [...missing.manifests, ...missing.blobs.keys()] };
}

function layersOf(image: BuiltImage): string[] {
  return image.layers.map(layer => layer.descriptor.digest);
}

function indexOf(...images: readonly BuiltImage[]): BuiltImage {
  return buildIndex({
    children: images.map(image => ({
      image,
      ...(image === attestation && { platform: { os: 'unknown', architecture: 'unknown' } }),
    })),
  });
}

test('an image lacks its config and its layers, save those that no registry need hold', async () => {
  expect((await missingOf(one, [])).missing).toBeUndefined();
  const config = one.config?.descriptor.digest ?? '';
  expect((await missingOf(one, [config])).missing).toEqual([config]);
  expect((await missingOf(one, layersOf(one))).missing).toEqual(layersOf(one));
  const foreign = buildImage({ layers: ['base'], layerMediaType: foreignLayer });
  expect((await missingOf(foreign, layersOf(foreign))).missing).toBeUndefined();
});

test('an index is complete with one complete image in it, and is not read further', async () => {
  const index = indexOf(one, two);
  expect(await missingOf(index, [])).toEqual({ reads: [one.descriptor.digest], missing: undefined });
  expect((await missingOf(index, [one.descriptor.digest])).missing).toBeUndefined();
  const [onlyInOne = ''] = layersOf(one);
  expect((await missingOf(index, [onlyInOne])).missing).toBeUndefined();
  const [, shared = ''] = layersOf(one);
  expect((await missingOf(index, [shared])).missing).toEqual([shared]);
  expect((await missingOf(index, [two.descriptor.digest, shared])).missing).toEqual([
    two.descriptor.digest,
    shared,
  ]);
});

test('an index of nothing is complete, one of attestations is not', async () => {
  expect((await missingOf(indexOf(), [])).missing).toBeUndefined();
  expect(await missingOf(indexOf(attestation), [])).toEqual({ reads: [], missing: [] });
  expect((await missingOf(indexOf(attestation, one), [])).missing).toBeUndefined();
});

test('each manifest of nested indexes is read once, however often they name it', async () => {
  const [, shared = ''] = layersOf(one);
  let index = indexOf(one, two);
  for (let depth = 0; depth < 6; depth += 1) index = indexOf(index, index, one);
  const { reads, missing } = await missingOf(index, [shared]);
  expect(missing).toEqual([shared]);
  expect(reads).toHaveLength(8);
});

test('a blob that many manifests name is looked at once', async () => {
  const looks: string[] = [];
  const images = ['a', 'b', 'c'].map(name => buildImage({ layers: [name, 'shared', 'shared'] }));
  const index = indexOf(...images);
  await findMissing(parseManifest(index.bytes, index.descriptor.mediaType), {
    manifest: async digest => {
      const found = images.find(child => child.digest === digest);
      return found && parseManifest(found.bytes, found.mediaType);
    },
    hasBlob: async digest => {
      looks.push(digest);
      return false;
    },
    wasAsked: () => false,
  });
  expect(looks).toHaveLength(new Set(looks).size);
});

test('a build cache needs of what it lists only what was asked for', async () => {
  const [listed, other] = one.layers.map(layer => layer.descriptor);
  if (listed === undefined || other === undefined) throw new Error('expected two layers');
  const cache = buildIndex({ children: [] });
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [listed, other] }));
  const index = { ...cache, bytes };
  const all = [listed.digest, other.digest];
  expect((await missingOf(index, all)).missing).toBeUndefined();
  expect((await missingOf(index, all, [other.digest])).missing).toEqual([other.digest]);
  expect((await missingOf(index, [listed.digest], [other.digest])).missing).toBeUndefined();
});

test('the config of an artifact is needed once a client has asked for it', async () => {
  const chart = buildImage({ layers: ['chart'], extra: { artifactType: 'application/vnd.chart' } });
  const config = chart.config?.descriptor.digest ?? '';
  expect((await missingOf(chart, [config])).missing).toBeUndefined();
  expect((await missingOf(chart, [config], [config])).missing).toEqual([config]);
  expect((await missingOf(one, [one.config?.descriptor.digest ?? ''])).missing).toHaveLength(1);
});
