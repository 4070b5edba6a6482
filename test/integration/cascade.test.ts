/** A mirror behind a mirror: once at the bottom, healed in the middle, and no way round in circles. */
import { describe, expect, test } from 'vitest';
import { get, head, requestMany } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { cut } from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { spawnTestMirror, startTestMirror } from '../support/mirror.ts';
import { unusedPort } from '../support/ports.ts';
import { startProxy } from '../support/proxy.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const size = 20_000_000;
const blob = patternBlob('through two mirrors', size);
const image = buildImage({ layers: [blob] });
const base = '/v2/library/alpine';
const blobPath = `${base}/blobs/${blob.digest}`;

async function startBottom() {
  const bottom = await startFakeUpstream();
  bottom.put('library/alpine', image, 'latest');
  return bottom;
}

async function expectAllServed(url: string, clients: number): Promise<void> {
  const results = await Promise.all(requestMany(clients, url, { path: blobPath }).map(call => call.done));
  for (const result of results)
    expect(result).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
}

describe('two mirrors in a row', () => {
  test('as processes: eight clients cost the bottom each thing once', async () => {
    const bottom = await startBottom();
    const middle = await spawnTestMirror({ upstream: bottom });
    const top = await spawnTestMirror({ upstream: middle });
    const manifest = await get(top.url, `${base}/manifests/latest`);
    expect(manifest).toMatchObject({ status: 200, sha256: image.digest });
    await expectAllServed(top.url, 8);
    const config = image.config?.descriptor.digest ?? '';
    expect((await get(top.url, `${base}/blobs/${config}`)).sha256).toBe(config);
    expect(bottom.lines()).toEqual([manifestLine('latest'), blobLine(blob.digest), blobLine(config)]);
    expect(bottom.contentBytes('blob', blob.digest)).toBe(size);
    expect(await middle.metric('cistern_downloads_resumed_total{upstream="docker.io",cause="cut"}')).toBe(0);
    await expectAllServed(middle.url, 1);
    expect(bottom.requests.length).toBe(3);
  });

  test('a cut below is healed by the lower, the upper does not notice', async () => {
    const bottom = await startBottom();
    bottom.fault({ digest: blob.digest }, cut(size / 2));
    const middle = await startTestMirror({ upstream: bottom });
    const top = await startTestMirror({ upstream: middle });
    await expectAllServed(top.url, 3);
    expect(bottom.lines()).toEqual([blobLine(blob.digest), expect.stringMatching(/ bytes=[1-9]\d*-$/)]);
    expect(bottom.contentBytes('blob')).toBeLessThanOrEqual(size * 1.05);
    const resumed = 'cistern_downloads_resumed_total{upstream="docker.io",cause="cut"}';
    expect([await middle.metric(resumed), await top.metric(resumed)]).toEqual([1, 0]);
  });

  test('a cut between them is healed by the upper, at no cost to the bottom', async () => {
    const bottom = await startBottom();
    const middle = await startTestMirror({ upstream: bottom });
    const line = await startProxy();
    const top = await startTestMirror({ upstream: middle, hub: { proxy: line.url() } });
    line.cutNextAfter(size / 2);
    await expectAllServed(top.url, 3);
    expect(line.lines).toEqual([`GET ${middle.url}${blobPath}`, `GET ${middle.url}${blobPath}`]);
    expect(line.headers[1]?.range).toMatch(/^bytes=\d+-$/);
    expect(bottom.lines()).toEqual([blobLine(blob.digest)]);
    expect(bottom.contentBytes('blob')).toBe(size);
  });

  test('what is wrong is not there at either end', async () => {
    const bottom = await startBottom();
    const middle = await startTestMirror({ upstream: bottom });
    const top = await startTestMirror({ upstream: middle });
    expect((await get(top.url, `${base}/manifests/missing`)).status).toBe(404);
    await bottom.refuse();
    expect((await get(top.url, `${base}/manifests/other`)).status).toBe(503);
    expect(await top.metric('cistern_breaker_open{upstream="docker.io"}')).toBe(0);
  });

  test('a url with ns reaches any upstream of the lower one', async () => {
    const [hub, other] = [await startFakeUpstream(), await startFakeUpstream()];
    other.put('team/app', image, 'v1');
    const upstreams = { 'docker.io': { url: hub.url }, 'other.test': { url: other.url } };
    const middle = await startTestMirror({ config: { upstreams } });
    const top = await startTestMirror({
      config: { upstreams: { 'other.test': { url: `${middle.url}/?ns=other.test` } } },
    });
    const path = '/v2/other.test/team/app';
    expect((await get(top.url, `${path}/manifests/v1`)).sha256).toBe(image.digest);
    expect((await get(top.url, `${path}/blobs/${blob.digest}`)).sha256).toBe(blob.digest);
    const tags = await get(top.url, `${path}/tags/list?n=5`);
    expect(JSON.parse(tags.body.toString()).tags).toEqual(['v1']);
    expect(other.lines().slice(0, 2)).toEqual([manifestLine('v1'), blobLine(blob.digest)]);
    expect(hub.requests).toEqual([]);
  });
});

describe('a circle', () => {
  test('of a mirror that is its own upstream ends with the deadline, after asking itself once', async () => {
    const port = await unusedPort();
    const mirror = await startTestMirror({
      config: {
        http: { listen: `127.0.0.1:${port}` },
        upstreams: {
          'docker.io': { url: `http://127.0.0.1:${port}`, timeouts: { first_byte: '600ms' } },
        },
      },
    });
    const results = await Promise.all([
      get(mirror.url, `${base}/manifests/latest`),
      head(mirror.url, `${base}/manifests/other`),
    ]);
    expect(results.map(({ status }) => status)).toEqual([503, 503]);
    await mirror.close(); // every request has its line then
    const asked = mirror.log.filter(
      ({ message, msg, path }) => (message ?? msg) === 'request' && path !== '/v2/',
    );
    expect(asked.map(({ method, status }) => `${method} ${status}`).toSorted()).toEqual([
      'GET 503',
      'GET 503',
      'HEAD 503',
      'HEAD 503',
    ]);
  });

  test('is not made by an ns that names the mirror itself', async () => {
    const bottom = await startBottom();
    const mirror = await startTestMirror({
      upstream: bottom,
      config: { http: { names: ['mirror.test:5000'] } },
    });
    const path = `${base}/manifests/latest?ns=mirror.test:5000`;
    expect(await get(mirror.url, path)).toMatchObject({ status: 200, sha256: image.digest });
    expect(bottom.lines()).toEqual([manifestLine('latest')]);
  });
});
