import { expect, test } from 'vitest';
import { DescriptorSizes } from '../../../../src/cached/manifests/descriptor-sizes.ts';
import { digestOf } from '../../../../src/oci/digest.ts';
import { parseManifest } from '../../../../src/oci/manifest.ts';
import { buildImage } from '../../../support/images.ts';

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
