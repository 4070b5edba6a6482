/** Docker Hub's pull limit: free checks go on, GETs are saved, 429 never reaches a client and never makes a storm. */
import { expect, test } from 'vitest';
import { get } from '../support/client.ts';
import { answer } from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { manifestLine } from '../support/request-log.ts';
import { type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';

const first = buildImage({ layers: ['first'] });
const second = buildImage({ layers: ['second'] });
const path = '/v2/library/alpine/manifests/latest';
const remaining = 'cistern_upstream_ratelimit_remaining{upstream="docker.io"}';
const limit = 'cistern_upstream_ratelimit_limit{upstream="docker.io"}';

async function start(rateLimit: FakeUpstreamOptions['rateLimit']) {
  const upstream = await startFakeUpstream(rateLimit === undefined ? {} : { rateLimit });
  upstream.put('library/alpine', first, 'latest');
  const clock = { ms: 1_700_000_000_000 };
  const mirror = await startTestMirror({ upstream, now: () => clock.ms });
  return { upstream, mirror, clock };
}

test('the gauges show the pull quota from each answer', async () => {
  const { mirror } = await start({ limit: 100, remaining: 80 });
  await get(mirror.url, path);
  expect(await mirror.metric(limit)).toBe(100);
  expect(await mirror.metric(remaining)).toBe(79);
});

test('a used-up pull quota: warm tags go out stale after one 429, and no request is sent before Retry-After', async () => {
  const { upstream, mirror, clock } = await start({ limit: 100, retryAfterS: 120, headToo: true });
  await get(mirror.url, path);
  for (const { descriptor } of first.blobs)
    await get(mirror.url, `/v2/library/alpine/blobs/${descriptor.digest}`);
  if (upstream.quota) upstream.quota.remaining = 0;
  upstream.log.clear();
  clock.ms += 60_000;
  for (let n = 0; n < 10; n += 1) {
    const result = await get(mirror.url, path);
    expect(result).toMatchObject({ status: 200, sha256: first.digest });
    expect(result.headers.get('warning')).toMatch(/^299 - "/);
  }
  expect((await get(mirror.url, '/v2/library/alpine/manifests/cold')).status).toBe(503);
  expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD')]);
  expect(await mirror.metric(remaining)).toBe(0);
  clock.ms += 121_000;
  if (upstream.quota) upstream.quota.remaining = 50;
  const result = await get(mirror.url, path);
  expect(result.headers.has('warning')).toBe(false);
});

test('a cold tag with 429: 503 for the client, one request, and the next ask from memory', async () => {
  const { upstream, mirror } = await start(undefined);
  upstream.fault({ kind: 'manifest' }, answer(429), { times: 'always' });
  for (let n = 0; n < 5; n += 1) {
    const result = await get(mirror.url, path);
    expect(result.status).toBe(503);
    expect(result.headers.has('retry-after')).toBe(false);
  }
  expect(upstream.lines()).toEqual([manifestLine('latest')]);
});

test('a low pull quota: a moved tag keeps its held digest, and only HEADs are sent', async () => {
  const { upstream, mirror, clock } = await start({ limit: 100 });
  await get(mirror.url, path);
  for (const { descriptor } of first.blobs)
    await get(mirror.url, `/v2/library/alpine/blobs/${descriptor.digest}`);
  upstream.move('library/alpine', 'latest', second);
  if (upstream.quota) upstream.quota.remaining = 2;
  upstream.log.clear();
  clock.ms += 60_000;
  const result = await get(mirror.url, path);
  expect(result).toMatchObject({ status: 200, sha256: first.digest });
  expect(result.headers.get('warning')).toMatch(/^299 - "/);
  expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD')]);
});
