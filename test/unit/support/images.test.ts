import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { patternBlob } from '../../support/content.ts';
import { type BuiltImage, buildArtifact, buildImage, buildIndex } from '../../support/images.ts';

const sha256 = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const parsed = (image: BuiltImage) => JSON.parse(image.bytes.toString());

/** Every descriptor in the manifests must be true of something that is put with the image. */
function expectComplete(image: BuiltImage): void {
  const held = new Map<string, number>();
  for (const { descriptor, bytes } of image.manifests) {
    expect(sha256(bytes)).toBe(descriptor.digest);
    held.set(descriptor.digest, bytes.length);
  }
  for (const { descriptor, content } of image.blobs) {
    expect(sha256(content.slice(0, content.size))).toBe(descriptor.digest);
    held.set(descriptor.digest, content.size);
  }
  for (const { bytes } of image.manifests) {
    const { config, layers = [], manifests = [] } = JSON.parse(bytes.toString());
    for (const { digest, size } of [...(config ? [config] : []), ...layers, ...manifests])
      expect(held.get(digest)).toBe(size);
  }
}

describe('an image', () => {
  test('is the same for the same names and another one for others', () => {
    expect(buildImage({ layers: ['a'] }).digest).toBe(buildImage({ layers: ['a'] }).digest);
    expect(buildImage({ layers: ['a'] }).digest).not.toBe(buildImage({ layers: ['b'] }).digest);
  });

  test('shares a layer with another image that names it', () => {
    const [one, other] = [buildImage({ layers: ['a', 'b'] }), buildImage({ layers: ['b', 'c'] })];
    expect(one.layers[1]?.descriptor).toEqual(other.layers[0]?.descriptor);
  });

  test.each(['oci', 'docker'] as const)(
    'of type %s names only what comes with it, with true sizes and digests',
    type => {
      const image = buildImage({ type, layers: ['a', patternBlob('big', 100_000)] });
      expectComplete(image);
      expect(parsed(image).mediaType).toBe(image.mediaType);
      expect(image.mediaType).toContain(
        type === 'oci' ? 'vnd.oci.image.manifest' : 'vnd.docker.distribution.manifest.v2',
      );
    },
  );
});

test.each(['oci', 'docker'] as const)(
  'an index of type %s comes with its children, each with a platform',
  type => {
    const index = buildIndex({ type });
    expectComplete(index);
    expect(index.manifests).toHaveLength(3);
    expect(parsed(index).manifests.map((child: { platform: object }) => child.platform)).toEqual([
      { architecture: 'amd64', os: 'linux' },
      { architecture: 'arm64', os: 'linux' },
    ]);
  },
);

test('an artifact names its subject', () => {
  const subject = buildImage();
  const artifact = buildArtifact({ subject, artifactType: 'application/x' });
  expectComplete(artifact);
  expect(parsed(artifact)).toMatchObject({ artifactType: 'application/x', subject: subject.descriptor });
});
