/** Manifests that go out without any waiting: only what `CachedTag` and `CachedManifest` would give out unasked. */
import { expect, test } from 'vitest';
import { ManifestFromMemory } from '../../../src/cached/cached-registry.ts';
import { DescriptorSizes } from '../../../src/content/hot-manifests.ts';
import { parseRepository, parseTag } from '../../../src/oci/name.ts';
import { buildImage } from '../../support/images.ts';
import { HandClock } from './rig.ts';
import { MemoryOrigin, StoreRig } from './store-rig.ts';

const alpine = parseRepository('library/alpine');
const latest = parseTag('latest');
const image = buildImage({ layers: ['layer one'] });
const minuteMs = 60_000;

async function setUp({ isAllowed = true } = {}) {
  const rig = await StoreRig.create();
  const origin = new MemoryOrigin();
  const clock = new HandClock();
  const sizes = new DescriptorSizes();
  const record = await rig.record();
  const { links, manifests } = rig;
  const atOnce = new ManifestFromMemory(origin, () => isAllowed, {
    ...{ links, manifests, sizes, now: clock.now },
    tags: { ttlMs: minuteMs },
    records: { peek: name => (name === record.name ? record : undefined) },
  });
  await manifests.put(image.descriptor, image.bytes);
  record.link(image.digest);
  record.setTag(latest, { descriptor: image.descriptor, checkedAt: clock.now() });
  rig.touched.length = 0;
  return { rig, origin, clock, sizes, record, atOnce };
}

test('what is in memory, by tag and by digest: a hit, a use of its blobs, and a source of their sizes', async () => {
  const { atOnce, clock, rig, sizes, record } = await setUp();
  const { descriptor, bytes } = image;
  expect(atOnce.answer(alpine, image.digest)).toEqual({ outcome: 'hit', descriptor, bytes });
  expect(rig.touched.toSorted()).toEqual(image.blobs.map(blob => blob.descriptor.digest).toSorted());
  const checkedAt = clock.now();
  expect(atOnce.answer(alpine, latest)).toEqual({ outcome: 'hit', descriptor, bytes, checkedAt });
  for (const blob of image.blobs) {
    expect(sizes.get(record.name, blob.descriptor.digest)).toBe(blob.descriptor.size);
  }
});

test('a tag until its ttl is over, and not when its check lies in the future', async () => {
  const { atOnce, clock } = await setUp();
  clock.advance(minuteMs - 1);
  expect(atOnce.answer(alpine, latest)).toBeDefined();
  clock.advance(1);
  expect(atOnce.answer(alpine, latest)).toBeUndefined();
  clock.advance(-minuteMs - 1);
  expect(atOnce.answer(alpine, latest)).toBeUndefined();
});

test('while the upstream is away a tag within its ttl, but nothing by digest: that has to be whole', async () => {
  const { atOnce, origin } = await setUp();
  origin.away = true;
  expect(atOnce.answer(alpine, latest)).toBeDefined();
  expect(atOnce.answer(alpine, image.digest)).toBeUndefined();
});

test('nothing that is not linked, not in memory, of another repository, or not allowed', async () => {
  const { atOnce, record } = await setUp();
  const other = buildImage({ layers: ['layer two'] });
  record.link(other.digest);
  expect(atOnce.answer(alpine, other.digest)).toBeUndefined();
  expect(atOnce.answer(parseRepository('library/busybox'), image.digest)).toBeUndefined();
  record.unlink(image.digest);
  expect(atOnce.answer(alpine, image.digest)).toBeUndefined();
  expect(atOnce.answer(alpine, latest)).toBeUndefined();
  expect((await setUp({ isAllowed: false })).atOnce.answer(alpine, latest)).toBeUndefined();
});
