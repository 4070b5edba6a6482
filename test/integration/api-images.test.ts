/**
 * What `/api/v1` says of images, mirrored and hosted: repositories, rows, details, completeness, what is cold; search and pages. No question
 * of the page asks an upstream.
 */
import { expect, test } from 'vitest';
import { type ApiRig, openImage, pushedImage, startApiRig } from '../support/api-rig.ts';
import { bytesBlob } from '../support/content.ts';
import { buildArtifact, buildImage, buildIndex } from '../support/images.ts';

const amd64 = { architecture: 'amd64', os: 'linux' };
const arm64 = { architecture: 'arm64', os: 'linux', variant: 'v8' };

/** An index of two machines and the attestation of one of them, as BuildKit writes it. */
function attestedIndex() {
  const [one, other] = [amd64, arm64].map(platform =>
    buildImage({ layers: ['base', platform.architecture], platform }),
  );
  if (one === undefined || other === undefined) throw new Error('expected two images');
  const attestation = buildArtifact({ blobs: ['provenance'] });
  const index = buildIndex({
    children: [
      { image: one, platform: amd64 },
      { image: other, platform: arm64 },
      {
        image: attestation,
        platform: { architecture: 'unknown', os: 'unknown' },
        annotations: {
          'vnd.docker.reference.type': 'attestation-manifest',
          'vnd.docker.reference.digest': one.digest,
        },
      },
    ],
  });
  return { index, one, other, attestation };
}

test('repositories of both kinds in one order, searched in any case, with what the caller may do there', async () => {
  const rig = await startApiRig();
  await rig.pull('library/open', openImage);
  await rig.push('team/app', pushedImage, '1');
  const { repositories } = await rig.read('repositories', '', 'writer');
  expect(repositories).toMatchObject([
    {
      name: 'docker.io/library/open',
      upstream: 'docker.io',
      visibility: 'public',
      tags: 1,
      may: { push: false },
    },
    {
      name: 'team/app',
      upstream: 'hosted',
      visibility: 'private',
      tags: 1,
      manifests: 1,
      may: { push: true, admin: false },
    },
  ]);
  const found = await rig.read('repositories', '?q=LIBRARY%2FO', 'writer');
  expect(found.repositories.map(({ name }) => name)).toEqual(['docker.io/library/open']);
  expect(await rig.read('repositories', '?q=nosuch', 'writer')).toEqual({ repositories: [] });
});

test('lists come in pages whose Link leads to the next, each entry once', async () => {
  const rig = await startApiRig();
  for (const name of ['team/a', 'team/b'])
    for (const tag of ['1', '2', '10']) await rig.push(name, pushedImage, tag);
  await rig.pull('library/open', openImage);
  for (const [route, list] of [
    ['repositories', ['docker.io/library/open', 'team/a', 'team/b']],
    [
      'images',
      [
        'docker.io/library/open:latest',
        'team/a:1',
        'team/a:10',
        'team/a:2',
        'team/b:1',
        'team/b:10',
        'team/b:2',
      ],
    ],
  ] as const) {
    const seen: string[] = [];
    let query: string | undefined = '?n=2';
    for (let pages = 0; query !== undefined && pages < 10; pages += 1) {
      const { headers, body } = await rig.call('GET', `${route}${query}`, { user: 'admin' });
      const rows: { name?: string; image?: string }[] = JSON.parse(body.toString())[route];
      seen.push(...rows.map(({ name, image }) => name ?? image ?? ''));
      const [, next] = /^<\/api\/v1\/\w+(\?[^>]+)>; rel="next"$/.exec(headers.get('link') ?? '') ?? [];
      query = next;
    }
    expect(seen).toEqual(list);
  }
  const found = await rig.read('images', '?q=team%2Fb%3A1', 'admin');
  expect(found.images.map(({ image }) => image)).toEqual(['team/b:1', 'team/b:10']);
});

test('an index has its machines, and each attestation under its own; none of them is unknown/unknown', async () => {
  const rig = await startApiRig();
  const { index, one, other, attestation } = attestedIndex();
  rig.upstream.put('library/open', index, 'multi');
  const { url } = rig.mirror;
  await rig.pull('library/open@multi', { ...one, manifests: [...one.manifests] });
  await rig.mirror.settled();
  const rows = async () => (await rig.read('images', '?repository=open')).images;
  await expect.poll(async () => (await rows())[0]?.complete).toBe(true); // the last layer is committed
  const images = await rows();
  expect(images).toHaveLength(1);
  expect(images[0]).toMatchObject({
    image: 'docker.io/library/open:multi',
    kind: 'index',
    complete: true,
    freshness: 'fresh',
    pinned: false,
    platforms: [
      {
        platform: 'linux/amd64',
        digest: one.digest,
        held: true,
        complete: true,
        attestations: [{ digest: attestation.digest, held: false }],
      },
      { platform: 'linux/arm64/v8', digest: other.digest, held: false, complete: false, attestations: [] },
    ],
  });
  const arm = await rig.read('image', '?name=open:multi&platform=linux/arm64');
  expect(arm.manifest).toBeNull();
  const asked = rig.upstream.requests.length;
  for (const route of ['repositories', 'images', 'offline', 'cold', 'stats'] as const)
    await rig.read(route, '', 'admin');
  expect(rig.upstream.requests.length).toBe(asked);
  expect(url).toBe(rig.mirror.url);
});

test('an image has layers with what made them, its config, its tag’s moves, and what refers to it', async () => {
  const rig = await startApiRig();
  const config = {
    architecture: 'amd64',
    os: 'linux',
    created: '2026-01-02T03:04:05Z',
    config: {
      Env: ['PATH=/bin'],
      Entrypoint: ['/app'],
      Cmd: null,
      ExposedPorts: { '8080/tcp': {} },
      Labels: { maintainer: 'team' },
      WorkingDir: '/srv',
    },
    history: [
      { created: '2026-01-02T03:04:05Z', created_by: 'ADD layer' },
      { created_by: 'ENV PATH=/bin', empty_layer: true },
    ],
  };
  const image = buildImage({ layers: ['only layer'], config: bytesBlob(JSON.stringify(config)) });
  const signature = buildArtifact({
    artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json',
    subject: image,
    blobs: ['signature'],
  });
  const sbom = buildArtifact({ artifactType: 'application/spdx+json', subject: image, blobs: ['sbom'] });
  await rig.push('team/app', pushedImage, 'v1');
  await rig.push('team/app', image, 'v1');
  await rig.push('team/app', image, 'stable');
  await rig.push('team/app', signature, signature.digest);
  await rig.push('team/app', sbom, sbom.digest);
  const answer = await rig.read('image', '?name=team/app:v1', 'writer');
  const [layer] = image.layers;
  expect(answer).toMatchObject({
    image: { image: 'team/app:v1', kind: 'image', freshness: 'hosted', complete: true, digest: image.digest },
    may: { push: true, delete: false, admin: false },
    manifest: {
      platform: 'linux/amd64',
      layers: [{ digest: layer?.descriptor.digest, held: true, createdBy: 'ADD layer' }],
      config: {
        env: ['PATH=/bin'],
        entrypoint: ['/app'],
        command: [],
        ports: ['8080/tcp'],
        labels: { maintainer: 'team' },
        workingDir: '/srv',
      },
      history: [{ createdBy: 'ADD layer' }, { createdBy: 'ENV PATH=/bin', emptyLayer: true }],
    },
    otherTags: ['stable'],
    missing: [],
  });
  expect(answer.referrers.map(({ kind, digest }) => [kind, digest]).sort()).toEqual(
    [
      ['signature', signature.digest],
      ['sbom', sbom.digest],
    ].sort(),
  );
  expect(answer.moves.map(({ digest, user, how, content }) => [digest, user, how, content])).toEqual([
    [image.digest, 'writer', 'push', 'held'],
    [pushedImage.digest, 'writer', 'push', 'held'],
  ]);
  expect((await rig.call('GET', 'image?name=team/app:nosuch', { user: 'writer' })).status).toBe(404);
});

test('what nothing else needs is an image’s own; what others have too is shared', async () => {
  const rig = await startApiRig();
  const [one, two] = ['one', 'two'].map(name => buildImage({ layers: ['base', name] }));
  if (one === undefined || two === undefined) throw new Error('expected two images');
  await rig.push('team/one', one, '1');
  await rig.push('team/two', two, '1');
  const rows = async () => (await rig.read('images', '?q=team', 'writer')).images;
  const shared = one.layers[0]?.descriptor.size ?? 0;
  await expect
    .poll(async () => (await rows()).map(({ sharedBytes }) => sharedBytes), { timeout: 5000 }) // counted in the background

    .toEqual([shared, shared]);
  for (const { heldBytes, ownBytes, sharedBytes } of await rows())
    expect((ownBytes ?? 0) + (sharedBytes ?? 0)).toBe(heldBytes);
});

test('offline: what can be pulled with the line cut, and what each other image lacks', async () => {
  const rig = await startApiRig();
  await rig.pull('library/open', openImage);
  const partial = buildImage({ layers: ['never fetched'] });
  rig.upstream.put('library/open', partial, 'partial');
  await rig.pull('library/open@partial', { ...partial, blobs: [] });
  await rig.mirror.settled();
  const { images } = await rig.read('offline');
  expect(images.map(({ image, complete }) => [image, complete])).toEqual([
    ['docker.io/library/open:latest', true],
    ['docker.io/library/open:partial', false],
  ]);
  const lacking = partial.blobs.map(({ descriptor }) => descriptor);
  expect(images[1]).toMatchObject({
    missingParts: lacking.length,
    missingBytes: lacking.reduce((sum, { size }) => sum + size, 0),
    may: { admin: false },
  });
  expect(new Set(images[1]?.missing.map(({ digest }) => digest))).toEqual(
    new Set(lacking.map(({ digest }) => digest)),
  );
  const only = await rig.read('offline', '?show=incomplete');
  expect(only.images.map(({ tag }) => tag)).toEqual(['partial']);
  const summary = async () => (await rig.read('offline')).summary;
  await expect.poll(summary).toMatchObject({ complete: 1, incomplete: 1 });
});

test('cold: the order of eviction, what the next one takes, and what came again soon after it', async () => {
  const rig = await startApiRig({ config: { store: { max_size: '1MB', low_watermark: '50%' } } });
  const images = ['a', 'b', 'c'].map(name => {
    const image = buildImage({ layers: [bytesBlob(Buffer.alloc(300_000, name))] });
    rig.upstream.put('library/open', image, name);
    return { name, image };
  });
  await rig.mirror.settled();
  for (const { name, image } of images) await rig.pull(`library/open@${name}`, image, 'admin');
  const cold = () => rig.read('cold', '', 'admin');
  await expect.poll(async () => (await cold()).blobs[0]?.repository).toBe('docker.io/library/open');
  const { blobs, total, nextEviction } = await cold();
  expect(blobs.map(({ lastUsedAt }) => lastUsedAt)).toEqual(
    blobs.map(({ lastUsedAt }) => lastUsedAt).toSorted(),
  );
  expect(total.blobs).toBe(blobs.length);
  expect(nextEviction).toMatchObject({ limitBytes: 1_000_000, lowBytes: 500_000 });
  expect(nextEviction.bytes).toBe(sumOf(blobs.filter(({ goesNext }) => goesNext)));
  const more = buildImage({ layers: [bytesBlob(Buffer.alloc(400_000, 'd'))] });
  rig.upstream.put('library/open', more, 'd');
  await rig.pull('library/open@d', more, 'admin'); // takes the place of the coldest
  const [first] = images;
  if (first === undefined) throw new Error('expected an image');
  await expect.poll(() => rig.mirror.metric('cistern_evictions_total')).toBeGreaterThan(0);
  await rig.pull('library/open@a', first.image, 'admin');
  const layer = first.image.layers[0]?.descriptor;
  await expect
    .poll(async () => (await cold()).refetched)
    .toEqual(
      expect.arrayContaining([expect.objectContaining({ digest: layer?.digest, bytes: layer?.size })]),
    );
});

test('history for the plots and warnings for the operator', async () => {
  const rig: ApiRig = await startApiRig({
    config: { hosted: { repositories: ['team/**'], read_only: 'moving house' } },
  });
  await rig.pull('library/open', openImage);
  await rig.pull('library/open', openImage);
  const { step, samples } = await rig.read('history', '', 'reader');
  const sum = (field: 'requests' | 'hits') => samples.reduce((total, sample) => total + sample[field], 0);
  expect([step, sum('requests') > sum('hits'), sum('hits') > 0]).toEqual(['minute', true, true]);
  const { warnings, hosted } = await rig.read('stats', '', 'reader');
  expect(warnings).toContainEqual({ kind: 'read-only', subject: null, message: 'moving house' });
  expect(hosted).toEqual({ bytes: 0, blobs: 0, readOnly: 'moving house' });
});

function sumOf(blobs: readonly { readonly bytes: number }[]): number {
  return blobs.reduce((sum, { bytes }) => sum + bytes, 0);
}
