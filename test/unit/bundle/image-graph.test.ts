/** What belongs to an image, for all platforms and for some, and what it can do without. */
import { expect, test } from 'vitest';
import { type ReadGraphManifest, readGraph } from '../../../src/bundle/image-graph.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { type Platform, parsePlatformText } from '../../../src/oci/platform.ts';
import { buildArtifact, buildImage, buildIndex } from '../../support/images.ts';

const ociIndex = 'application/vnd.oci.image.index.v1+json';
const empty = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a';

class Shelf {
  readonly #bytes = new Map<Digest, { bytes: Buffer; mediaType: string }>();

  put(value: object | Buffer, mediaType: string) {
    const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
    const digest = digestOf(bytes);
    this.#bytes.set(digest, { bytes, mediaType });
    return { mediaType, digest, size: bytes.length };
  }

  readonly read: ReadGraphManifest = async ({ digest }) => this.#bytes.get(digest);
}

function platform(text: string): Platform {
  const parsed = parsePlatformText(text);
  if (parsed === undefined) throw new Error(`expected a platform, got ${text}`);
  return parsed;
}

/** As BuildKit makes it: images for two machines, each with an attestation; and an index in it. */
function buildAttested() {
  const shelf = new Shelf();
  const amd = buildImage({ layers: ['amd'] });
  const arm = buildImage({
    layers: ['arm'],
    platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
  });
  const inner = buildIndex();
  for (const built of [amd, arm, inner])
    for (const { descriptor, bytes } of built.manifests) shelf.put(bytes, descriptor.mediaType);
  const attest = (name: string) => {
    const { descriptor, bytes } = buildArtifact({ blobs: [name] });
    return shelf.put(bytes, descriptor.mediaType);
  };
  const attestations = [attest('of amd'), attest('of arm')];
  const entry = (descriptor: object, os: string, architecture: string, about?: string) => ({
    ...descriptor,
    platform: { os, architecture },
    ...(about !== undefined && { annotations: { 'vnd.docker.reference.digest': about } }),
  });
  const root = shelf.put(
    {
      schemaVersion: 2,
      mediaType: ociIndex,
      manifests: [
        entry(amd.descriptor, 'linux', 'amd64'),
        entry(arm.descriptor, 'linux', 'arm64'),
        entry(attestations[0] ?? {}, 'unknown', 'unknown', amd.digest),
        entry(attestations[1] ?? {}, 'unknown', 'unknown', arm.digest),
        inner.descriptor,
      ],
    },
    ociIndex,
  );
  return { shelf, root, amd, arm, inner, attestations: attestations.map(({ digest }) => digest) };
}

test('all of an index: its images, attestations and inner indexes; for a platform what it needs of each', async () => {
  const { shelf, root, amd, arm, inner, attestations } = buildAttested();
  const [amdAttestation, armAttestation] = attestations;
  const [innerAmd, innerArm] = inner.children.map(({ digest }) => digest);
  const all = await readGraph(root, 'all', shelf.read);
  expect([...all.manifests.keys()].sort()).toEqual(
    [root.digest, amd.digest, arm.digest, inner.digest, innerAmd, innerArm, ...attestations].sort(),
  );
  const some = await readGraph(root, [platform('linux/arm64')], shelf.read);
  expect([...some.manifests.keys()].sort()).toEqual(
    [root.digest, arm.digest, armAttestation, inner.digest, innerArm].sort(),
  );
  expect(some.missing.size).toBe(0);
  const two = await readGraph(root, [platform('linux/arm64/v8'), platform('linux/amd64')], shelf.read);
  expect(two.manifests.has(amdAttestation as Digest)).toBe(true);
  const none = await readGraph(root, [platform('linux/s390x')], shelf.read);
  expect([...none.manifests.keys()].sort()).toEqual([root.digest, inner.digest].sort());
});

test('what is missing is named by its machine; the root comes first', async () => {
  const { root, arm, shelf } = buildAttested();
  const found = await readGraph(root, [platform('linux/arm64')], async named =>
    named.digest === arm.digest ? undefined : shelf.read(named),
  );
  expect([...found.missing]).toEqual([[arm.digest, 'linux/arm64']]);
  expect([...found.manifests.keys()][0]).toBe(root.digest);
});

test('layers that registries do not hold, content in its descriptor and the empty config are not needed', async () => {
  const shelf = new Shelf();
  const digest = (name: string) => digestOf(Buffer.from(name));
  const layer = (name: string, more: object = {}) => ({
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest: digest(name),
    size: 4,
    ...more,
  });
  const root = shelf.put(
    {
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', digest: empty, size: 2 },
      layers: [
        layer('plain'),
        layer('urls', { urls: ['https://elsewhere.example/x'] }),
        layer('windows', { mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' }),
        layer('data', { data: Buffer.from('data').toString('base64') }),
      ],
    },
    '',
  );
  const { blobs } = await readGraph(root, 'all', shelf.read);
  const needed = Array.from(blobs.values()).filter(({ isNeeded }) => isNeeded);
  expect(needed).toEqual([{ digest: digest('plain'), size: 4, what: 'layer', isNeeded: true }]);
  expect(blobs.size).toBe(5);
});

test('a build cache lists blobs as if they were manifests; content under other digests cannot be taken', async () => {
  const shelf = new Shelf();
  const layer = {
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    digest: digestOf(Buffer.from('l')),
  };
  const cache = shelf.put({ schemaVersion: 2, mediaType: ociIndex, manifests: [layer] }, ociIndex);
  const { blobs } = await readGraph(cache, 'all', shelf.read);
  expect([...blobs.values()]).toEqual([
    { digest: layer.digest, size: undefined, what: 'blob', isNeeded: true },
  ]);
  const foreign = { ...layer, digest: `blake3:${'0'.repeat(64)}`, size: 1 };
  const image = shelf.put(
    { schemaVersion: 2, layers: [foreign] },
    'application/vnd.oci.image.manifest.v1+json',
  );
  await expect(readGraph(image, 'all', shelf.read)).rejects.toThrow('neither sha256 nor sha512');
});
