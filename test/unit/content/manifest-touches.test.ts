/** What served manifests mark as used: at once for small ones, in slices and every 30 s for fat ones. */
import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ManifestTouches } from '../../../src/content/hot-manifests.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import type { Descriptor, ParsedManifest } from '../../../src/oci/manifest.ts';
import { ociIndex, ociManifest, octetStream } from '../../../src/oci/media-type.ts';

const named = (name: string): Descriptor => ({
  mediaType: octetStream,
  digest: digestOf(Buffer.from(name)),
  size: 1,
});

const imageOf = (name: string, count: number): ParsedManifest => ({
  kind: 'image',
  mediaType: ociManifest,
  layers: Array.from({ length: count }, (_, at) => named(`${name} ${at}`)),
  manifests: [],
});

const indexOf = (...names: readonly string[]): ParsedManifest => ({
  kind: 'index',
  mediaType: ociIndex,
  layers: [],
  manifests: names.map(named),
});

function open(children: Readonly<Record<string, ParsedManifest>> = {}) {
  const touched: Digest[] = [];
  const clock = { nowMs: 1_000_000 };
  const byDigest = new Map(Object.entries(children).map(([name, child]) => [named(name).digest, child]));
  const touches = new ManifestTouches({
    touch: digest => touched.push(digest),
    peek: digest => byDigest.get(digest),
    now: () => clock.nowMs,
  });
  return { touched, clock, touches };
}

test('a small manifest is marked at once, each time', () => {
  const { touched, touches } = open();
  const image = imageOf('small', 100);
  touches.touch(image);
  touches.touch(image);
  expect(touched).toHaveLength(200);
});

test('a manifest of 34,000 layers is marked in slices, and not again within 30 s', async () => {
  const { touched, touches, clock } = open();
  const fat = imageOf('fat', 34_000);
  for (let hit = 0; hit < 100; hit += 1) touches.touch(fat);
  expect(touched.length).toBeLessThan(1000);
  while (touched.length < 34_000) await turn();
  await turn();
  expect([touched.length, new Set(touched).size]).toEqual([34_000, 34_000]);
  clock.nowMs += 30_000;
  touches.touch(fat);
  while (touched.length < 68_000) await turn();
});

test('an index that names one child many times marks what the child names once', async () => {
  const { touched, touches } = open({ fat: imageOf('fat', 500), small: imageOf('small', 3) });
  const names = Array.from({ length: 300 }, (_, at) => (at % 2 === 0 ? 'fat' : 'small'));
  touches.touch(indexOf(...names));
  while (touched.length < 503) await turn();
  await turn();
  expect(touched).toHaveLength(503);
});

test('the blobs that an index lists are marked', () => {
  const { touched, touches } = open();
  const blob = { ...named('cache'), mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' };
  touches.touch({ ...indexOf('not in memory'), manifests: [blob, named('not in memory')] });
  expect(touched).toEqual([blob.digest]);
});

test('four fat manifests hit again and again: no turn of the loop marks more than one slice', async () => {
  const { touched, touches } = open();
  const fats = ['a', 'b', 'c', 'd'].map(name => imageOf(name, 34_000));
  for (let hit = 0; hit < 4; hit += 1) for (const fat of fats) touches.touch(fat);
  let most = 0;
  while (touched.length < 4 * 34_000) {
    const before = touched.length;
    await turn(); // what a hot pull waits for at most
    for (const fat of fats) touches.touch(fat);
    most = Math.max(most, touched.length - before);
  }
  expect([most, new Set(touched).size, touched.length]).toEqual([128, 4 * 34_000, 4 * 34_000]);
});
