/** Content under digests that can't be computed here (`blake3:…`): passed through with the method it was asked with, and never kept. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { expect, test } from 'vitest';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { answer } from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type FakeUpstream, type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';

const image = buildImage({ layers: ['layer'] });
const blob = patternBlob('foreign', 3000);
const bytes = blob.slice(0, blob.size);
const layer = `blake3:${'a'.repeat(64)}`;
/** The fake upstream checks no digest. */
const manifest = `blake3:${'b'.repeat(64)}` as Digest;
const missing = `blake3:${'c'.repeat(64)}`;

async function startUpstream(options: FakeUpstreamOptions, repository = 'library/alpine') {
  const upstream = await startFakeUpstream(options);
  upstream.put(repository, image, 'latest');
  upstream.putBlob(repository, layer, bytes);
  upstream.content.putManifest(repository, image.bytes, image.mediaType, { digest: manifest });
  return upstream;
}

/** Names below `blobs-v1`: what is held. */
async function held({ storePath }: TestMirror): Promise<string[]> {
  const entries = await readdir(join(storePath, 'blobs-v1'), { recursive: true });
  return entries.filter(name => name.length > 64);
}

async function expectPassed(upstream: FakeUpstream, mirror: TestMirror): Promise<void> {
  const path = `/v2/library/alpine/blobs/${layer}`;
  for (let times = 0; times < 2; times += 1) {
    upstream.log.clear();
    const whole = await get(mirror.url, path);
    expect([whole.status, whole.sha256, whole.headers.get('docker-content-digest')]).toEqual([
      200,
      digestOf(bytes),
      layer,
    ]);
    const headed = await head(mirror.url, path);
    expect([headed.status, headed.headers.get('content-length')]).toEqual([200, '3000']);
    const part = await get(mirror.url, path, { headers: { Range: 'bytes=100-199' } });
    expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 100-199/3000']);
    expect(part.body).toEqual(bytes.subarray(100, 200));
    const beyond = await get(mirror.url, path, { headers: { Range: 'bytes=3000-' } });
    expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, 'bytes */3000']);
    const named = await get(mirror.url, `/v2/library/alpine/manifests/${manifest}`);
    expect([named.status, named.body, named.headers.get('content-type')]).toEqual([
      200,
      image.bytes,
      image.mediaType,
    ]);
    expect(named.headers.get('docker-content-digest')).toBe(manifest);
    const described = await head(mirror.url, `/v2/library/alpine/manifests/${manifest}`);
    expect([described.status, described.headers.get('content-length')]).toEqual([
      200,
      String(image.bytes.length),
    ]);
    expect(upstream.lines({ host: 'registry' })).toEqual([
      blobLine(layer),
      blobLine(layer, undefined, 'HEAD'),
      blobLine(layer, 'bytes=100-199'),
      blobLine(layer, 'bytes=3000-'),
      manifestLine(manifest),
      manifestLine(manifest, 'HEAD'),
    ]);
  }
}

test.each([{ redirect: false }, { redirect: true }])(
  'blobs, ranges and manifests: one question each, every time; nothing is kept (redirect: $redirect)',
  async ({ redirect }) => {
    const upstream = await startUpstream({ redirect });
    const mirror = await startTestMirror({ upstream });
    await expectPassed(upstream, mirror);
    expect(await held(mirror)).toEqual([]);
    const passed = (kind: string) =>
      mirror.metric(
        `cistern_requests_total{upstream="docker.io",kind="${kind}",method="GET",status="200",outcome="passthrough"}`,
      );
    expect([await passed('blob'), await passed('manifest')]).toEqual([2, 2]);
  },
);

test('missing ones are 404; a 429 to a manifest is 503', async () => {
  const upstream = await startUpstream({});
  const mirror = await startTestMirror({ upstream });
  const statuses: number[] = [];
  for (const kind of ['blobs', 'manifests'])
    for (const ask of [get, head])
      statuses.push((await ask(mirror.url, `/v2/library/alpine/${kind}/${missing}`)).status);
  expect(statuses).toEqual([404, 404, 404, 404]);
  expect(upstream.lines()).toEqual([
    blobLine(missing),
    blobLine(missing, undefined, 'HEAD'),
    manifestLine(missing),
    manifestLine(missing, 'HEAD'),
  ]);
  upstream.fault({ kind: 'manifest' }, answer(429));
  expect((await get(mirror.url, `/v2/library/alpine/manifests/${manifest}`)).status).toBe(503);
});

test.each([{ offline: true }, { offline: false }])(
  'with the upstream away (offline: $offline): 404 for a blob, 503 for a manifest',
  async ({ offline }) => {
    const upstream = await startUpstream({});
    if (!offline) await upstream.refuse();
    const mirror = await startTestMirror({ upstream, ...(offline && { config: { offline } }) });
    const statuses: number[] = [];
    for (const target of [`blobs/${layer}`, `manifests/${manifest}`])
      for (const ask of [get, head])
        statuses.push((await ask(mirror.url, `/v2/library/alpine/${target}`)).status);
    expect(statuses).toEqual([404, 404, 503, 503]);
    expect(upstream.lines()).toEqual([]);
  },
);

test('private ones: asked without credentials for a caller without rights, with them for one who may', async () => {
  const upstream = await startUpstream(
    { auth: { kind: 'basic', anonymous: ['library/open'], accounts: { u: { password: 'planted' } } } },
    'library/closed',
  );
  const htpasswd = join(await tempDir(), 'htpasswd');
  await writeFile(htpasswd, `alice:${await hash('secret', 4)}\n`);
  const rules = [
    { repositories: ['**'], users: ['anonymous'] },
    { repositories: ['**'], users: ['alice'] },
  ];
  const mirror = await startTestMirror({
    upstream,
    hub: { username: 'u', password: 'planted' },
    config: { access: { htpasswd, rules } },
  });
  const alice = { Authorization: `Basic ${Buffer.from('alice:secret').toString('base64')}` };
  const asked = async (headers: Record<string, string>) => {
    upstream.log.clear();
    const found: [number, readonly string[]][] = [];
    for (const target of [`blobs/${layer}`, `blobs/${missing}`, `manifests/${manifest}`]) {
      upstream.log.clear();
      const { status } = await get(mirror.url, `/v2/library/closed/${target}`, { headers });
      const lines = upstream.requests.map(
        ({ method, kind, status: answered, authorization }) =>
          `${method} ${kind} ${answered} ${authorization}`,
      );
      found.push([status, lines]);
    }
    return found;
  };
  expect(await asked({})).toEqual([
    [404, ['GET blob 401 none']],
    [404, ['GET blob 401 none']],
    [404, ['GET manifest 401 none']],
  ]);
  expect(await asked(alice)).toEqual([
    [200, ['GET blob 401 none', 'GET blob 200 basic']], // a challenge once
    [404, ['GET blob 404 basic']],
    [200, ['GET manifest 200 basic']],
  ]);
});

test('hosted repositories have none, and none is pushed or deleted', async () => {
  const upstream = await startUpstream({});
  const mirror = await startTestMirror({ upstream, config: { hosted: { repositories: ['team/**'] } } });
  for (const target of [`blobs/${layer}`, `manifests/${manifest}`])
    for (const ask of [get, head]) expect((await ask(mirror.url, `/v2/team/app/${target}`)).status).toBe(404);
  for (const method of ['PUT', 'DELETE']) {
    const { status } = await fetch(`${mirror.url}/v2/team/app/manifests/${manifest}`, { method });
    expect([method, status]).toEqual([method, 400]);
  }
  expect(upstream.lines()).toEqual([]);
});
