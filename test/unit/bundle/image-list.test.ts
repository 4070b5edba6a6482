/** `index.json` and `manifest.json` of a bundle: what is written is read back, and what other tools write is understood. */
import { expect, test } from 'vitest';
import { formatDockerList } from '../../../src/bundle/docker-list.ts';
import { formatIndex, parseIndex } from '../../../src/bundle/image-list.ts';
import type { Digest } from '../../../src/oci/digest.ts';
import { parseManifest } from '../../../src/oci/manifest.ts';
import { type BuiltImage, buildArtifact, buildImage, buildIndex } from '../../support/images.ts';

const image = buildImage();
const index = buildIndex();
const arm = { os: 'linux', architecture: 'arm64', variant: 'v8' };

function read(manifest: object) {
  return parseIndex(Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [manifest] })));
}

test('an entry comes back with its name, platforms, time and visibility', () => {
  const entries = [
    {
      descriptor: index.descriptor,
      name: 'docker.io/library/app:1',
      platforms: [arm],
      checkedAt: 1_700_000_000_000,
    },
    {
      descriptor: image.descriptor,
      name: `team/app@${image.digest}`,
      platforms: 'all' as const,
      isPrivate: true,
    },
    { descriptor: image.descriptor },
  ];
  expect(parseIndex(formatIndex(entries))).toEqual(entries);
});

test.each([
  [
    { 'io.containerd.image.name': 'docker.io/library/a:1', 'org.opencontainers.image.ref.name': '1' },
    'docker.io/library/a:1',
  ],
  [{ 'org.opencontainers.image.ref.name': 'docker.io/library/a:1' }, 'docker.io/library/a:1'],
  [{ 'org.opencontainers.image.ref.name': 'a:1' }, 'a:1'],
  [{ 'org.opencontainers.image.ref.name': 'latest' }, undefined],
  [{ 'org.opencontainers.image.ref.name': 7 }, undefined],
  [undefined, undefined],
])('names of %#: whole ones count, tags alone do not', (annotations, name) => {
  expect(read({ ...image.descriptor, annotations }).map(entry => entry.name)).toEqual([name]);
});

test.each([
  [
    'platforms that cannot be read',
    { ...image.descriptor, annotations: { 'cistern.bundle.platforms': 'linux amd64' } },
  ],
  ['a size that is none', { ...image.descriptor, size: -1 }],
  ['no digest', { ...image.descriptor, digest: '../x' }],
])('%s are refused', (_what, manifest) => {
  expect(() => read(manifest)).toThrow(/index\.json of the bundle/);
});

test('docker gets the image of its platform, under every tag of it; signatures and what is not whole are left out', () => {
  const sbom = buildArtifact();
  const manifests = manifestsOf([image, index, sbom]);
  const entries = [
    { descriptor: index.descriptor, name: 'docker.io/library/app:1' },
    { descriptor: index.descriptor, name: 'docker.io/library/app:2' },
    { descriptor: index.descriptor, name: `docker.io/library/app@${index.digest}` },
    { descriptor: image.descriptor, name: 'docker.io/library/cut:1' },
    { descriptor: sbom.descriptor, name: 'docker.io/library/app:sha256-1.sig' },
    { descriptor: sbom.descriptor },
  ];
  const missing = image.layers[0]?.descriptor.digest;
  const has = (digest: Digest) => digest !== missing;
  const [, second] = index.children;
  const listOf = (platform: { os: string; architecture: string }) =>
    JSON.parse(String(formatDockerList({ entries, manifests }, platform, has)));
  expect(listOf(arm)).toEqual([
    {
      Config: pathOf(second?.config?.descriptor.digest),
      RepoTags: ['docker.io/library/app:1', 'docker.io/library/app:2'],
      Layers: second?.layers.map(({ descriptor }) => pathOf(descriptor.digest)),
    },
  ]);
  const [first] = index.children;
  const other = listOf({ os: 'linux', architecture: 's390x' }); // it has none: the first one that is there
  expect(other).toMatchObject([{ Config: pathOf(first?.config?.descriptor.digest) }]);
  expect(formatDockerList({ entries: [], manifests }, arm, has)).toBeUndefined();
});

function pathOf(digest: Digest | undefined): string {
  return `blobs/${digest?.replace(':', '/')}`;
}

function manifestsOf(images: readonly BuiltImage[]) {
  const all = images.flatMap(({ manifests }) => manifests);
  return new Map(
    all.map(({ descriptor, bytes }) => {
      const parsed = parseManifest(bytes, descriptor.mediaType);
      return [descriptor.digest, { descriptor, parsed, repository: 'docker.io/library/app' }];
    }),
  );
}
