/** Manifests of odd upstreams: asked for as blobs, refused to HEAD or by digest, of types and digests that no mirror knows. */
import { describe, expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { bytesBlob } from '../support/content.ts';
import { answer, changeHeaders } from '../support/faults.ts';
import { type BuiltImage, buildArtifact, buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror, type TestMirror, type TestMirrorOptions } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const image = buildImage({ layers: ['first'] });
const second = buildImage({ layers: ['second'] });
const base = '/v2/library/alpine';
const minuteMs = 60_000;

async function start(options: TestMirrorOptions = {}) {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', image, 'latest');
  const clock = { ms: 1_700_000_000_000 };
  const mirror = await startTestMirror({ upstream, now: () => clock.ms, ...options });
  return { upstream, mirror, clock };
}

/** Refuses connections, and the mirror knows. */
async function goAway(upstream: FakeUpstream, mirror: TestMirror): Promise<void> {
  await upstream.refuse();
  for (let n = 0; n < 3; n += 1) await get(mirror.url, `/v2/library/other/manifests/cold${n}`);
  await expect.poll(() => mirror.metric('cistern_breaker_open{upstream="docker.io"}')).toBe(1);
}

describe('a manifest under /blobs/ is 404', () => {
  test.each([
    ['cold, of more than 1 MiB', '50GiB', 8000],
    ['passed through for want of room, small', 1, 1],
    ['passed through for want of room, of more than 1 MiB', 1, 8000],
  ] as const)('%s; blobs of that size are given', async (_what, max_size, count) => {
    const layers = Array.from({ length: count }, (_, at) => `layer ${at}`);
    const fat = buildImage({ layers });
    const blob = bytesBlob(Buffer.concat([Buffer.from('{"layers":['), Buffer.alloc(fat.bytes.length, 32)]));
    const { upstream, mirror } = await start({ config: { store: { max_size } } });
    upstream.putBlob('library/alpine', fat.digest, bytesBlob(fat.bytes));
    upstream.putBlob('library/alpine', blob.digest, blob);
    expect((await get(mirror.url, `${base}/blobs/${fat.digest}`)).status).toBe(404);
    expect(await get(mirror.url, `${base}/blobs/${blob.digest}`)).toMatchObject({
      status: 200,
      sha256: blob.digest,
    });
  });

  test('when it is held, with the upstream there and away, and after a restart', async () => {
    const { upstream, mirror } = await start();
    await get(mirror.url, `${base}/manifests/latest`);
    const path = `${base}/blobs/${image.digest}`;
    upstream.putBlob('library/alpine', image.digest, image.bytes); // it would give it
    upstream.log.clear();
    expect([(await head(mirror.url, path)).status, (await get(mirror.url, path)).status]).toEqual([404, 404]);
    await goAway(upstream, mirror);
    expect([(await head(mirror.url, path)).status, (await get(mirror.url, path)).status]).toEqual([404, 404]);
    await mirror.close();
    const again = await startTestMirror({ upstream, storePath: mirror.storePath });
    expect([(await head(again.url, path)).status, (await get(again.url, path)).status]).toEqual([404, 404]);
    expect(upstream.lines().filter(line => line.includes('blobs'))).toEqual([]);
  });

  test('when another public repository brought it', async () => {
    const { upstream, mirror } = await start();
    await get(mirror.url, `${base}/manifests/latest`);
    await goAway(upstream, mirror);
    const path = `/v2/library/other/blobs/${image.digest}`;
    expect([(await head(mirror.url, path)).status, (await get(mirror.url, path)).status]).toEqual([404, 404]);
  });

  test('when it is not held and the upstream gives it as a blob', async () => {
    const { upstream, mirror } = await start();
    upstream.putBlob('library/alpine', image.digest, image.bytes);
    const path = `${base}/blobs/${image.digest}`;
    for (let n = 0; n < 2; n += 1) expect((await get(mirror.url, path)).status).toBe(404);
    expect((await head(mirror.url, path)).status).toBe(404);
    expect(upstream.lines()).toEqual([blobLine(image.digest)]);
  });

  test('when the upstream says its type, which a HEAD tells too', async () => {
    const { upstream, mirror } = await start();
    upstream.putBlob('library/alpine', image.digest, image.bytes);
    upstream.fault({ kind: 'blob' }, changeHeaders({ 'Content-Type': image.mediaType }), { times: 'always' });
    expect((await head(mirror.url, `${base}/blobs/${image.digest}`)).status).toBe(404);
    expect(upstream.lines()).toEqual([blobLine(image.digest, undefined, 'HEAD')]);
  });

  test('when an index of the repository names it: nothing is asked', async () => {
    const { upstream, mirror } = await start();
    const index = buildIndex();
    const [child] = index.children;
    upstream.put('library/alpine', index, 'index');
    await get(mirror.url, `${base}/manifests/index`);
    upstream.log.clear();
    const path = `${base}/blobs/${child?.digest}`;
    expect([(await head(mirror.url, path)).status, (await get(mirror.url, path)).status]).toEqual([404, 404]);
    expect(upstream.lines()).toEqual([]);
  });

  test('unless an artifact of the repository has it as a layer', async () => {
    const { upstream, mirror } = await start();
    const artifact = buildArtifact({ blobs: [bytesBlob(second.bytes)] });
    upstream.put('library/alpine', artifact, 'artifact');
    await get(mirror.url, `${base}/manifests/artifact`);
    for (let n = 0; n < 2; n += 1)
      expect(await get(mirror.url, `${base}/blobs/${second.digest}`)).toMatchObject({
        status: 200,
        sha256: second.digest,
      });
  });
});

describe('HEAD is a hint', () => {
  test.each([400, 401, 403, 404, 405, 500, 501, 503])(
    '%i to HEAD: one HEAD and one GET, cold, not moved and moved; the GET brings the manifest',
    async status => {
      const { upstream, mirror, clock } = await start();
      upstream.fault({ kind: 'manifest', method: 'HEAD' }, answer(status), { times: 'always' });
      const both = [manifestLine('latest', 'HEAD'), manifestLine('latest')];
      expect((await head(mirror.url, `${base}/manifests/latest`)).status).toBe(200);
      expect((await get(mirror.url, `${base}/manifests/${image.digest}`)).sha256).toBe(image.digest);
      expect(upstream.lines()).toEqual(both);
      clock.ms += minuteMs;
      expect((await get(mirror.url, `${base}/manifests/latest`)).headers.has('warning')).toBe(false);
      expect(upstream.lines()).toEqual([...both, ...both]);
      upstream.move('library/alpine', 'latest', second);
      clock.ms += minuteMs;
      const moved = await get(mirror.url, `${base}/manifests/latest`);
      expect(moved).toMatchObject({ status: 200, sha256: second.digest });
      expect(moved.headers.has('warning')).toBe(false);
      expect(upstream.lines()).toEqual([...both, ...both, ...both]);
    },
  );

  test('before "gone" there is one GET', async () => {
    const { upstream, mirror } = await start();
    expect((await head(mirror.url, `${base}/manifests/none`)).status).toBe(404);
    expect(upstream.lines()).toEqual([manifestLine('none', 'HEAD'), manifestLine('none')]);
  });

  test('a HEAD of a blob that is refused does not answer the GET after it', async () => {
    const { upstream, mirror } = await start();
    upstream.fault({ kind: 'blob', method: 'HEAD' }, answer(500), { times: 'always' });
    const layer = image.layers[0]?.descriptor.digest;
    await head(mirror.url, `${base}/blobs/${layer}`);
    expect(await get(mirror.url, `${base}/blobs/${layer}`)).toMatchObject({ status: 200, sha256: layer });
  });
});

describe('a registry that gives a manifest by tag only', () => {
  async function startByTag() {
    const started = await start();
    for (const { digest } of [image, second])
      started.upstream.fault({ kind: 'manifest', method: 'GET', digest }, answer(404), { times: 'always' });
    return started;
  }

  test('a tag that moved, and one that only a HEAD was answered of', async () => {
    const { upstream, mirror, clock } = await startByTag();
    await head(mirror.url, `${base}/manifests/latest`);
    expect((await get(mirror.url, `${base}/manifests/latest`)).sha256).toBe(image.digest);
    upstream.move('library/alpine', 'latest', second);
    clock.ms += minuteMs;
    expect((await get(mirror.url, `${base}/manifests/latest`)).sha256).toBe(second.digest);
    expect(upstream.lines()).toEqual([
      manifestLine('latest', 'HEAD'),
      manifestLine(image.digest),
      manifestLine('latest'),
      manifestLine('latest', 'HEAD'),
      manifestLine(second.digest),
      manifestLine('latest'),
    ]);
  });

  test('a client that goes on by digest after a HEAD of the tag', async () => {
    const { upstream, mirror } = await startByTag();
    await head(mirror.url, `${base}/manifests/latest`);
    const result = await get(mirror.url, `${base}/manifests/${image.digest}`);
    expect(result).toMatchObject({ status: 200, sha256: image.digest });
    expect(upstream.lines()).toEqual([
      manifestLine('latest', 'HEAD'),
      manifestLine(image.digest),
      manifestLine('latest'),
    ]);
  });
});

test('two repositories give the same bytes under two types: each keeps its own, also after a restart', async () => {
  const { upstream, mirror } = await start();
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, config: image.config?.descriptor, layers: [] }),
  );
  const types = ['application/vnd.oci.image.manifest.v1+json', 'application/vnd.own.manifest.v1+json'];
  for (const [at, type] of types.entries()) upstream.putManifest(`library/r${at}`, bytes, type, 'latest');
  const typesOf = async (url: string) => {
    const seen: (string | undefined)[] = [];
    for (const at of [0, 1, 0, 1])
      seen.push((await get(url, `/v2/library/r${at}/manifests/latest`)).headers.get('content-type'));
    return seen;
  };
  expect(await typesOf(mirror.url)).toEqual([...types, ...types]);
  await mirror.close();
  const again = await startTestMirror({ upstream, storePath: mirror.storePath });
  expect(await typesOf(again.url)).toEqual([...types, ...types]);
});

const layer = image.layers[0]?.descriptor;
const odd: readonly [string, string, string][] = [
  [
    'an ORAS artifact manifest',
    'application/vnd.cncf.oras.artifact.manifest.v1+json',
    JSON.stringify({ artifactType: 'a/x', blobs: [layer], subject: image.descriptor }),
  ],
  ['a type of its own, no JSON', 'application/vnd.own.manifest', 'own bytes'],
  ['a type of its own with a version of its own', 'application/vnd.own+json', '{"schemaVersion":1,"x":[]}'],
  [
    'an index whose children have no size',
    'application/vnd.oci.image.index.v1+json',
    JSON.stringify({ schemaVersion: 2, manifests: [{ mediaType: image.mediaType, digest: image.digest }] }),
  ],
  [
    'an image with a blake3 layer',
    'application/vnd.oci.image.manifest.v1+json',
    JSON.stringify({
      schemaVersion: 2,
      config: image.config?.descriptor,
      layers: [{ ...layer, digest: `blake3:${'a'.repeat(64)}` }],
    }),
  ],
];

test.each(odd)('%s comes as it is, and is kept', async (_what, type, body) => {
  const { upstream, mirror } = await start();
  const digest = upstream.putManifest('library/alpine', Buffer.from(body), type, 'odd');
  for (const reference of ['odd', digest, 'odd', digest]) {
    const result = await get(mirror.url, `${base}/manifests/${reference}`);
    expect(result).toMatchObject({ status: 200, sha256: digest });
    expect(result.headers.get('content-type')).toBe(type);
  }
  expect(upstream.lines()).toEqual([manifestLine('odd')]);
});

test('offline, what cannot be read has nothing to check; an image with a blob that cannot be verified is not whole', async () => {
  const { upstream, mirror } = await start();
  const digests = odd.map(([, type, body], at) =>
    upstream.putManifest('library/alpine', Buffer.from(body), type, `odd${at}`),
  );
  for (const digest of digests) await get(mirror.url, `${base}/manifests/${digest}`);
  await goAway(upstream, mirror);
  const statuses: number[] = [];
  for (const digest of digests) statuses.push((await get(mirror.url, `${base}/manifests/${digest}`)).status);
  expect(statuses).toEqual([200, 200, 200, 200, 503]);
});

describe('held whole', () => {
  async function heldOffline(artifacts: Readonly<Record<string, BuiltImage>>, asked: readonly string[]) {
    const { upstream, mirror, clock } = await start();
    for (const [tag, artifact] of Object.entries(artifacts)) {
      upstream.put('library/alpine', artifact, tag);
      await get(mirror.url, `${base}/manifests/${tag}`);
    }
    for (const digest of asked) await get(mirror.url, `${base}/blobs/${digest}`);
    await goAway(upstream, mirror);
    clock.ms += minuteMs;
    const statuses: Record<string, number> = {};
    for (const tag of Object.keys(artifacts))
      statuses[tag] = (await get(mirror.url, `${base}/manifests/${tag}`)).status;
    return { statuses, mirror };
  }

  test('an artifact needs its layers; its config only when a client has asked for it', async () => {
    const artifact = buildArtifact({ blobs: ['sbom'] });
    const unfetched = buildArtifact({ blobs: ['never fetched'] });
    const signature = buildImage({
      layers: ['signature'],
      layerMediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    });
    const asked = [artifact, signature].flatMap(({ layers }) => layers.map(blob => blob.descriptor.digest));
    const { statuses } = await heldOffline({ artifact, unfetched, signature }, asked);
    expect(statuses).toEqual({ artifact: 200, unfetched: 503, signature: 200 });
  });

  test('what stands in the descriptor itself need not be held', async () => {
    const embedded = (text: string, mediaType: string) => ({
      ...buildArtifact({ blobs: [bytesBlob(text)] }).layers[0]?.descriptor,
      mediaType,
      data: Buffer.from(text).toString('base64'),
    });
    const inline = buildImage({
      extra: {
        config: embedded('{"os":"linux"}', 'application/vnd.oci.image.config.v1+json'),
        layers: [embedded('layer', 'application/vnd.oci.image.layer.v1.tar')],
      },
    });
    const { statuses } = await heldOffline({ inline }, []);
    expect(statuses).toEqual({ inline: 200 });
  });

  test('an index that lists blobs needs those that were asked for', async () => {
    const cache = buildIndex({
      children: [
        { image: { ...image, descriptor: { ...second.layers[0]?.descriptor, ...layer } } as BuiltImage },
      ],
    });
    const { upstream, mirror, clock } = await start();
    upstream.putManifest('library/alpine', cache.bytes, cache.mediaType, 'cache');
    await get(mirror.url, `${base}/manifests/cache`);
    await goAway(upstream, mirror);
    clock.ms += minuteMs;
    expect((await get(mirror.url, `${base}/manifests/cache`)).status).toBe(200);
  });

  test('HEAD of what is not held whole is answered stale, by tag and by digest; GET is refused', async () => {
    const { mirror, statuses } = await heldOffline({ second }, []);
    expect(statuses).toEqual({ second: 503 });
    for (const reference of [second.digest, 'second']) {
      const result = await head(mirror.url, `${base}/manifests/${reference}`, {
        headers: { 'Cache-Control': 'no-cache' },
      });
      expect(result.status).toBe(200);
      expect(result.headers.get('docker-content-digest')).toBe(second.digest);
      expect(result.headers.get('warning')).toMatch(/^299 - "/);
    }
  });
});
