/** The first table of docs/behaviour.md, "A tag": what the upstream sees for each thing a client asks. */
import { describe, expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { answer, slowHeaders } from '../support/faults.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror, type TestMirrorOptions } from '../support/mirror.ts';
import { manifestLine } from '../support/request-log.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const first = buildImage({ layers: ['first'] });
const second = buildImage({ layers: ['second'] });
const tagPath = '/v2/library/alpine/manifests/latest';
const minuteMs = 60_000;

async function start(options: TestMirrorOptions = {}) {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', first, 'latest');
  const clock = { ms: 1_700_000_000_000 };
  const mirror = await startTestMirror({ upstream, now: () => clock.ms, ...options });
  return { upstream, mirror, clock };
}

/** Pulls every blob of the first image, so that it is complete. */
async function pullBlobs(url: string): Promise<void> {
  for (const { descriptor } of first.blobs) await get(url, `/v2/library/alpine/blobs/${descriptor.digest}`);
}

test('GET of a tag that is not held: one GET by tag, and the answer carries what clients need', async () => {
  const { upstream, mirror } = await start();
  const result = await get(mirror.url, tagPath);
  expect(result).toMatchObject({ status: 200, sha256: first.digest });
  expect(result.headers.get('docker-content-digest')).toBe(first.digest);
  expect(result.headers.get('content-type')).toBe(first.mediaType);
  expect(result.headers.get('etag')).toBe(`"${first.digest}"`);
  expect(result.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
  expect(upstream.lines()).toEqual([manifestLine('latest')]);
});

test('HEAD of a tag that is not held costs one HEAD; the GET by digest after it one GET', async () => {
  const { upstream, mirror } = await start();
  const result = await head(mirror.url, tagPath);
  expect(result.status).toBe(200);
  expect(result.headers.get('docker-content-digest')).toBe(first.digest);
  expect(result.headers.get('content-length')).toBe(String(first.bytes.length));
  await get(mirror.url, `/v2/library/alpine/manifests/${first.digest}`);
  expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD'), manifestLine(first.digest)]);
});

describe('a held tag', () => {
  async function startHeld(options: TestMirrorOptions = {}) {
    const started = await start(options);
    await get(started.mirror.url, tagPath);
    await pullBlobs(started.mirror.url);
    started.upstream.log.clear();
    return started;
  }

  test('younger than the ttl costs nothing', async () => {
    const { upstream, mirror, clock } = await startHeld();
    clock.ms += minuteMs - 1;
    expect((await get(mirror.url, tagPath)).sha256).toBe(first.digest);
    expect((await head(mirror.url, tagPath)).status).toBe(200);
    expect(upstream.lines()).toEqual([]);
  });

  test('older and not moved costs one HEAD, and is young again', async () => {
    const { upstream, mirror, clock } = await startHeld();
    clock.ms += minuteMs;
    const result = await get(mirror.url, tagPath);
    expect(result.sha256).toBe(first.digest);
    expect(result.headers.has('warning')).toBe(false);
    await get(mirror.url, tagPath);
    expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD')]);
  });

  test.each(['GET', 'HEAD'])('older and moved costs %s one HEAD and one GET by digest', async method => {
    const { upstream, mirror, clock } = await startHeld();
    upstream.move('library/alpine', 'latest', second);
    clock.ms += minuteMs;
    const result = await (method === 'GET' ? get : head)(mirror.url, tagPath);
    expect(result.headers.get('docker-content-digest')).toBe(second.digest);
    expect((await get(mirror.url, `/v2/library/alpine/manifests/${second.digest}`)).sha256).toBe(
      second.digest,
    );
    expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD'), manifestLine(second.digest)]);
  });

  test('by digest costs nothing, ever', async () => {
    const { upstream, mirror, clock } = await startHeld();
    clock.ms += 365 * 24 * 60 * minuteMs;
    expect((await get(mirror.url, `/v2/library/alpine/manifests/${first.digest}`)).sha256).toBe(first.digest);
    expect((await head(mirror.url, `/v2/library/alpine/manifests/${first.digest}`)).status).toBe(200);
    expect(upstream.lines()).toEqual([]);
  });

  test('Cache-Control: no-cache forces the check', async () => {
    const { upstream, mirror } = await startHeld();
    await get(mirror.url, tagPath, { headers: { 'Cache-Control': 'no-cache' } });
    expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD')]);
  });

  test('goes out stale when the check takes too long, and the check ends in the background', async () => {
    const { upstream, mirror, clock } = await startHeld({ config: { tags: { check_timeout: '100ms' } } });
    const gate = upstream.holdHeaders({ reference: 'latest' });
    clock.ms += minuteMs;
    const result = await get(mirror.url, tagPath);
    expect(result).toMatchObject({ status: 200, sha256: first.digest });
    expect(result.headers.get('warning')).toMatch(/^299 - "/);
    expect(Number(result.headers.get('age'))).toBe(60);
    gate.release();
    await upstream.log.until(entries => entries.some(entry => entry.status === 200));
    await expect.poll(async () => (await get(mirror.url, tagPath)).headers.has('warning')).toBe(false);
    expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD')]);
  });

  test.each([500, 503, 429, 401, 403])(
    'goes out stale with Warning and Age when the upstream says %i',
    async status => {
      const { upstream, mirror, clock } = await startHeld();
      upstream.fault({ kind: 'manifest' }, answer(status), { times: 'always' });
      clock.ms += 2 * minuteMs;
      const result = await get(mirror.url, tagPath);
      expect(result).toMatchObject({ status: 200, sha256: first.digest });
      expect(result.headers.get('warning')).toMatch(/^299 - "/);
      expect(result.headers.get('age')).toBe('120');
      expect(
        await mirror.metric(
          'cistern_requests_total{upstream="docker.io",kind="manifest",method="GET",status="200",outcome="stale"}',
        ),
      ).toBe(1);
    },
  );

  test('that the upstream has no more is kept by default', async () => {
    const { upstream, mirror, clock } = await startHeld();
    upstream.untag('library/alpine', 'latest');
    clock.ms += minuteMs;
    const result = await get(mirror.url, tagPath);
    expect(result).toMatchObject({ status: 200, sha256: first.digest });
    expect(result.headers.get('warning')).toMatch(/^299 - "/);
  });

  test('that the upstream has no more is 404 with on_404: honour', async () => {
    const { upstream, mirror, clock } = await startHeld({ config: { tags: { on_404: 'honour' } } });
    upstream.untag('library/alpine', 'latest');
    clock.ms += minuteMs;
    expect((await get(mirror.url, tagPath)).status).toBe(404);
  });

  test('older than stale_if_error is not served while the upstream fails', async () => {
    const { upstream, mirror, clock } = await startHeld({ config: { tags: { stale_if_error: '5m' } } });
    upstream.fault({ kind: 'manifest' }, answer(500), { times: 'always' });
    clock.ms += 6 * minuteMs;
    const result = await get(mirror.url, tagPath);
    expect(result.status).toBe(503);
    expect(JSON.parse(result.body.toString()).errors[0].code).toBe('UNAVAILABLE');
  });

  test('survives a restart, and its age with it', async () => {
    const { upstream, mirror, clock } = await startHeld();
    await mirror.close();
    const again = await startTestMirror({ upstream, storePath: mirror.storePath, now: () => clock.ms });
    expect((await get(again.url, tagPath)).sha256).toBe(first.digest);
    expect(upstream.lines()).toEqual([]);
  });
});

describe('nothing held, and the upstream says', () => {
  test.each([
    [404, 404, 'MANIFEST_UNKNOWN'],
    [401, 404, 'MANIFEST_UNKNOWN'],
    [403, 404, 'MANIFEST_UNKNOWN'],
    [429, 503, 'UNAVAILABLE'],
    [500, 503, 'UNAVAILABLE'],
    [503, 503, 'UNAVAILABLE'],
  ])('%i: a manifest is %i %s', async (status, expected, code) => {
    const { upstream, mirror } = await start();
    upstream.fault({ kind: 'manifest' }, answer(status, { 'WWW-Authenticate': 'Basic realm="x"' }), {
      times: 'always',
    });
    const result = await get(mirror.url, tagPath);
    expect(result.status).toBe(expected);
    expect(JSON.parse(result.body.toString()).errors[0].code).toBe(code);
    expect(result.headers.get('cache-control')).toBe('no-store');
    expect(result.headers.has('www-authenticate')).toBe(false);
    if (status === 401 || status === 403)
      expect(JSON.stringify(JSON.parse(result.body.toString()))).toContain('refused');
  });

  test.each([404, 401, 403, 429, 500, 503])('%i: a blob is 404 BLOB_UNKNOWN', async status => {
    const { upstream, mirror } = await start();
    upstream.fault({ kind: 'blob' }, answer(status), { times: 'always' });
    const digest = first.config?.descriptor.digest;
    const result = await get(mirror.url, `/v2/library/alpine/blobs/${digest}`);
    expect(result.status).toBe(404);
    expect(JSON.parse(result.body.toString()).errors[0].code).toBe('BLOB_UNKNOWN');
  });

  test('nothing: 503 within first_byte, and the same ask is refused from memory afterwards', async () => {
    const { upstream, mirror } = await start({ hub: { timeouts: { first_byte: '300ms' } } });
    upstream.fault({ kind: 'manifest' }, slowHeaders(60_000), { times: 'always' });
    for (let n = 0; n < 2; n += 1) {
      expect((await get(mirror.url, tagPath)).status).toBe(503);
      expect((await head(mirror.url, tagPath)).status).toBe(503);
    }
    expect(upstream.lines().filter(line => line.includes('manifests'))).toEqual([manifestLine('latest')]);
  });
});

test('signature and fallback tags that are missing are asked for once per negative_ttl', async () => {
  const { upstream, mirror, clock } = await start();
  const tag = `sha256-${'a'.repeat(64)}`;
  for (const reference of [tag, tag, `${tag}.sig`, `${tag}.sig`]) {
    expect((await get(mirror.url, `/v2/library/alpine/manifests/${reference}`)).status).toBe(404);
  }
  expect(upstream.lines()).toEqual([manifestLine(tag), manifestLine(`${tag}.sig`)]);
  clock.ms += minuteMs;
  expect((await get(mirror.url, `/v2/library/alpine/manifests/${tag}`)).status).toBe(404);
  expect(upstream.lines()).toHaveLength(3);
  await upstream.refuse();
  clock.ms += minuteMs;
  expect((await get(mirror.url, `/v2/library/alpine/manifests/${tag}`)).status).toBe(404);
});

test('whatever manifest is missing, by tag or by digest, it is asked for once per negative_ttl', async () => {
  const { upstream, mirror, clock } = await start();
  const digest = `sha256:${'b'.repeat(64)}`;
  const ask = async () => {
    for (const reference of ['v9', digest]) {
      const path = `/v2/library/alpine/manifests/${reference}`;
      expect((await get(mirror.url, path)).status).toBe(404);
      expect((await head(mirror.url, path)).status).toBe(404);
    }
  };
  await ask();
  await ask();
  const asked = [manifestLine('v9'), manifestLine(digest)];
  expect(upstream.lines()).toEqual(asked);
  clock.ms += minuteMs;
  await ask();
  expect(upstream.lines()).toEqual([...asked, ...asked]);
});

test('an index and its children keep their bytes and types', async () => {
  const { upstream, mirror } = await start();
  for (const type of ['oci', 'docker'] as const) {
    const index = buildIndex({ type });
    upstream.put('library/multi', index, type);
    const result = await get(mirror.url, `/v2/library/multi/manifests/${type}`);
    expect(result.sha256).toBe(index.digest);
    expect(result.headers.get('content-type')).toBe(index.mediaType);
    for (const child of index.children) {
      expect((await get(mirror.url, `/v2/library/multi/manifests/${child.digest}`)).sha256).toBe(
        child.digest,
      );
    }
  }
});

test('If-None-Match with the digest: 304', async () => {
  const { mirror } = await start();
  const result = await get(mirror.url, tagPath, { headers: { 'If-None-Match': `"${first.digest}"` } });
  expect(result).toMatchObject({ status: 304, bytes: 0 });
});

test('tags.patterns: a tag with a rule goes out for its own ttl, with and without memory; the others for tags.ttl', async () => {
  const patterns = [{ repositories: ['docker.io/library/*'], tags: ['v*.*.*'], ttl: '1d' }];
  const { upstream, mirror, clock } = await start({ config: { tags: { patterns } } });
  upstream.put('library/alpine', first, 'v1.2.3');
  const versionPath = '/v2/library/alpine/manifests/v1.2.3';
  for (const path of [tagPath, versionPath]) await get(mirror.url, path);
  upstream.log.clear();
  clock.ms += 86_400_000 - 1;
  await get(mirror.url, versionPath);
  await head(mirror.url, versionPath);
  await get(mirror.url, tagPath);
  expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD')]);
  clock.ms += 1;
  await get(mirror.url, versionPath);
  expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD'), manifestLine('v1.2.3', 'HEAD')]);
});
