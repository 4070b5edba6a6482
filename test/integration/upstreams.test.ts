/** Upstreams of every kind through the mirror: tokens, Basic, TLS with an own authority, redirects, sha512; and discovery. */
import { describe, expect, test } from 'vitest';
import { get, head, request } from '../support/client.ts';
import { bytesBlob, patternBlob } from '../support/content.ts';
import { buildArtifact, buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';

const image = buildImage();
const layer = image.layers[0]?.descriptor.digest ?? '';
const account = { u: { password: 's3cret' } };
const credentials = { username: 'u', password: 's3cret', share: 'all' };

async function start(options: FakeUpstreamOptions, hub: Record<string, unknown> = {}) {
  const upstream = await startFakeUpstream(options);
  upstream.put('library/alpine', image, 'latest');
  return { upstream, mirror: await startTestMirror({ upstream, hub }) };
}

async function pull(url: string): Promise<void> {
  expect(await get(url, '/v2/alpine/manifests/latest')).toMatchObject({ status: 200, sha256: image.digest });
  for (const { descriptor } of image.blobs) {
    const result = await get(url, `/v2/alpine/blobs/${descriptor.digest}`);
    expect(result).toMatchObject({ status: 200, sha256: descriptor.digest });
  }
}

describe('authentication', () => {
  test('anonymous tokens: one challenge and one token for a whole image', async () => {
    const { upstream, mirror } = await start({ auth: { kind: 'token' } });
    await pull(mirror.url);
    const lines = upstream.lines({ status: true });
    expect(lines.filter(line => line.includes('/token'))).toHaveLength(1);
    expect(lines.filter(line => line.startsWith('401'))).toHaveLength(1);
  });

  test('credentials go to the realm, and what they open is given to everyone with share: all', async () => {
    const { upstream, mirror } = await start(
      { auth: { kind: 'token', accounts: account, anonymous: [] } },
      credentials,
    );
    await pull(mirror.url);
    const registry = upstream.requests.filter(entry => entry.kind !== 'token');
    expect(registry.every(entry => entry.authorization !== 'basic')).toBe(true);
    expect(
      upstream.requests
        .filter(entry => entry.kind === 'token')
        .every(entry => entry.authorization === 'basic'),
    ).toBe(true);
  });

  test('Basic', async () => {
    const { mirror } = await start({ auth: { kind: 'basic', accounts: account } }, credentials);
    await pull(mirror.url);
  });

  test('no header of a credential goes along with a redirect', async () => {
    const { upstream, mirror } = await start(
      { auth: { kind: 'basic', accounts: account }, redirect: true },
      credentials,
    );
    await pull(mirror.url);
    const stored = upstream.requests.filter(entry => entry.host === 'storage');
    expect(stored.length).toBe(image.blobs.length);
    expect(stored.every(entry => entry.authorization === 'none')).toBe(true);
  });

  test('neither credentials nor tokens nor signed URLs are in the log or the metrics', async () => {
    const { upstream, mirror } = await start(
      { auth: { kind: 'token', accounts: account, anonymous: [] }, redirect: true },
      credentials,
    );
    await pull(mirror.url);
    await get(mirror.url, '/v2/alpine/manifests/missing');
    const tokens = upstream.requests.flatMap(entry => {
      const { authorization = '' } = entry.headers;
      return String(authorization).split(' ').slice(1);
    });
    const signatures = upstream.requests
      .filter(entry => entry.host === 'storage')
      .map(entry => entry.path.split('?')[1] ?? '');
    const written = JSON.stringify(mirror.log) + (await get(mirror.url, '/metrics')).body.toString();
    for (const secret of ['s3cret', ...tokens, ...signatures]) {
      expect(secret.length).toBeGreaterThan(4);
      expect(written).not.toContain(secret);
    }
  });
});

test('TLS with an own authority: trusted with ca_file, refused without', async () => {
  const upstream = await startFakeUpstream({ tls: true });
  upstream.put('library/alpine', image, 'latest');
  const trusting = await startTestMirror({ upstream, hub: { ca_file: upstream.caFile } });
  await pull(trusting.url);
  const wary = await startTestMirror({ upstream });
  expect((await get(wary.url, '/v2/alpine/manifests/latest')).status).toBe(503);
  const careless = await startTestMirror({ upstream, hub: { insecure: true } });
  await pull(careless.url);
});

test('ip: 4 and ip: 6 choose the address family', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', image, 'latest');
  const { port } = new URL(upstream.url);
  const four = await startTestMirror({ upstream: { url: `http://localhost:${port}` }, hub: { ip: 4 } });
  await pull(four.url);
  const six = await startTestMirror({ upstream: { url: `http://localhost:${port}` }, hub: { ip: 6 } });
  expect((await get(six.url, '/v2/alpine/manifests/latest')).status).toBe(503);
});

test('a redirect of the blobs: one request at the registry and one at the storage, once for all clients', async () => {
  const { upstream, mirror } = await start({ redirect: true });
  await Promise.all(Array.from({ length: 5 }, () => get(mirror.url, `/v2/alpine/blobs/${layer}`)));
  expect(upstream.lines()).toEqual([blobLine(layer), `storage ${blobLine(layer)}`]);
});

test('sha512 blobs and manifests', async () => {
  const upstream = await startFakeUpstream();
  const big = patternBlob('sha512', 3_000_000, 'sha512');
  upstream.putBlob('library/alpine', big.digest, big);
  const mirror = await startTestMirror({ upstream });
  for (let n = 0; n < 2; n += 1) {
    const result = await get(mirror.url, `/v2/alpine/blobs/${big.digest}`);
    expect(bytesBlob(result.body, 'sha512').digest).toBe(big.digest);
  }
  expect(upstream.lines()).toEqual([blobLine(big.digest)]);
});

test('finish: never ends a transfer with its last client and keeps the partial', async () => {
  const upstream = await startFakeUpstream();
  const big = patternBlob('never', 20_000_000);
  upstream.putBlob('library/alpine', big.digest, big);
  const mirror = await startTestMirror({ upstream, hub: { finish: 'never' } });
  upstream.holdAfter({ digest: big.digest }, 10_000_000);
  const call = request(mirror.url, { path: `/v2/alpine/blobs/${big.digest}`, keep: false });
  await call.atLeast(9_000_000);
  call.abort();
  await expect.poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);
  upstream.log.clear();
  expect((await get(mirror.url, `/v2/alpine/blobs/${big.digest}`, { keep: false })).sha256).toBe(big.digest);
  expect(upstream.lines()).toEqual([expect.stringMatching(/bytes=\d+-$/)]);
});

describe('discovery', () => {
  test('tags/list asks the upstream and links its pages through the mirror, with ns', async () => {
    const { upstream, mirror } = await start({});
    for (const tag of ['a', 'b', 'c']) upstream.tag('library/alpine', tag, image.digest);
    const first = await get(mirror.url, '/v2/alpine/tags/list?n=2&ns=docker.io');
    expect(JSON.parse(first.body.toString())).toEqual({
      name: expect.stringContaining('alpine'),
      tags: ['a', 'b'],
    });
    const next = /<([^>]+)>/.exec(first.headers.get('link') ?? '')?.[1] ?? '';
    expect(next).toContain('ns=docker.io');
    const second = await get(mirror.url, next);
    expect(JSON.parse(second.body.toString()).tags).toEqual(['c', 'latest']);
  });

  test('referrers: the upstream’s API', async () => {
    const { upstream, mirror } = await start({});
    const artifact = buildArtifact({ subject: image });
    upstream.put('library/alpine', artifact);
    const result = await get(mirror.url, `/v2/alpine/referrers/${image.digest}`);
    expect(result.headers.get('content-type')).toBe('application/vnd.oci.image.index.v1+json');
    expect(JSON.parse(result.body.toString()).manifests).toMatchObject([{ digest: artifact.digest }]);
  });

  test('referrers: none is an empty index with 200, asked once per negative_ttl, also without the API upstream', async () => {
    const { upstream, mirror } = await start({ quirks: { noReferrers: true } });
    for (let n = 0; n < 3; n += 1) {
      const result = await get(mirror.url, `/v2/alpine/referrers/${image.digest}`);
      expect(result.status).toBe(200);
      expect(JSON.parse(result.body.toString()).manifests).toEqual([]);
    }
    expect(upstream.lines()).toEqual([
      expect.stringContaining('referrers/'),
      manifestLine(image.digest.replace(':', '-')),
    ]);
  });
});

describe('operation', () => {
  test('the mirror starts, is ready and answers with no upstream at all', async () => {
    const mirror = await startTestMirror({ upstream: { url: 'http://127.0.0.1:1' } });
    expect((await get(mirror.url, '/healthz')).status).toBe(200);
    expect((await get(mirror.url, '/readyz')).status).toBe(200);
    expect((await get(mirror.url, '/v2/')).status).toBe(200);
    expect((await head(mirror.url, '/v2/alpine/manifests/latest')).status).toBe(503);
  });

  test('the access log has a line per request with what operators look for', async () => {
    const { mirror } = await start({});
    await get(mirror.url, `/v2/alpine/blobs/${layer}?ns=docker.io`);
    await expect
      .poll(() => mirror.log.find(line => String(line['path'] ?? line['url'] ?? '').includes(layer)))
      .toMatchObject({
        method: 'GET',
        status: 200,
        outcome: 'miss',
        upstream: 'docker.io',
      });
  });

  test('hits, misses and joins are counted per upstream and kind', async () => {
    const { mirror } = await start({});
    await get(mirror.url, `/v2/alpine/blobs/${layer}`);
    await expect.poll(() => mirror.metric('cistern_store_blobs')).toBe(1);
    await get(mirror.url, `/v2/alpine/blobs/${layer}`);
    const series = (outcome: string) =>
      `cistern_requests_total{upstream="docker.io",kind="blob",method="GET",status="200",outcome="${outcome}"}`;
    expect(await mirror.metric(series('miss'))).toBe(1);
    expect(await mirror.metric(series('hit'))).toBe(1);
    expect(await mirror.metric('cistern_upstream_bytes_total{upstream="docker.io"}')).toBe(
      image.layers[0]?.descriptor.size,
    );
    expect(await mirror.metric('cistern_lru_up{backend="embedded"}')).toBe(1);
  });
});
