/** The upstream is refused, frozen or gone from DNS: what is held goes on, what isn't is refused fast and clearly. */
import { describe, expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror, type TestMirrorOptions } from '../support/mirror.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const image = buildImage({ layers: ['first'] });
const partial = buildImage({ layers: ['never pulled'] });
const base = '/v2/library/alpine';
const minuteMs = 60_000;

async function pull(url: string, tag: string): Promise<number[]> {
  const manifest = await get(url, `${base}/manifests/${tag}`);
  const statuses = [manifest.status];
  for (const { descriptor } of image.blobs)
    statuses.push((await get(url, `${base}/blobs/${descriptor.digest}`)).status);
  return statuses;
}

const ways: readonly [string, (upstream: FakeUpstream) => Promise<void>][] = [
  ['refuses connections', upstream => upstream.refuse()],
  ['accepts and never answers', async upstream => upstream.freeze()],
];

describe.each(ways)('an upstream that %s', (_name, breakIt) => {
  async function start(options: TestMirrorOptions = {}) {
    const upstream = await startFakeUpstream();
    upstream.put('library/alpine', image, 'latest');
    upstream.put('library/alpine', partial, 'partial');
    const clock = { ms: 1_700_000_000_000 };
    const mirror = await startTestMirror({
      upstream,
      now: () => clock.ms,
      hub: { timeouts: { first_byte: '600ms', connect: '300ms' } },
      config: { tags: { check_timeout: '200ms' } },
      ...options,
    });
    expect(await pull(mirror.url, 'latest')).toEqual([200, 200, 200]);
    expect((await get(mirror.url, `${base}/manifests/partial`)).status).toBe(200);
    return { upstream, mirror, clock, break: () => breakIt(upstream) };
  }

  test('leaves warm tags pulling, stale and saying so', async () => {
    const { mirror, clock, ...upstream } = await start();
    await upstream.break();
    clock.ms += minuteMs;
    for (let n = 0; n < 3; n += 1) {
      const manifest = await get(mirror.url, `${base}/manifests/latest`);
      expect(manifest).toMatchObject({ status: 200, sha256: image.digest });
      expect(manifest.headers.get('warning')).toMatch(/^299 - "/);
      expect(await pull(mirror.url, image.digest)).toEqual([200, 200, 200]);
    }
  });

  test('makes cold tags 503 and cold blobs 404, once asked and then from memory', async () => {
    const { mirror, ...upstream } = await start();
    await upstream.break();
    for (let n = 0; n < 2; n += 1) {
      const result = await head(mirror.url, `${base}/manifests/cold`);
      expect(result.status).toBe(503);
      expect((await get(mirror.url, `${base}/manifests/cold`)).status).toBe(503);
      const blob = await get(mirror.url, `${base}/blobs/${partial.layers[0]?.descriptor.digest}`);
      expect(blob.status).toBe(404);
    }
    expect(await mirror.metric('cistern_breaker_open{upstream="docker.io"}')).toBe(1);
    expect(await mirror.metric('cistern_upstream_up{upstream="docker.io"}')).toBe(0);
  });

  test('an image that is not held whole is refused by tag and by digest, so that no client gets stuck with it', async () => {
    const { mirror, clock, ...upstream } = await start();
    await upstream.break();
    clock.ms += minuteMs;
    await head(mirror.url, `${base}/manifests/cold`); // the upstream is known to be away from here on
    for (const reference of ['partial', partial.digest]) {
      const result = await get(mirror.url, `${base}/manifests/${reference}`);
      expect(result.status).toBe(503);
      expect(JSON.parse(result.body.toString()).errors[0].code).toBe('UNAVAILABLE');
    }
  });

  test('is asked again by a probe of its own, and everything is as before', async () => {
    const { upstream, mirror, clock, ...away } = await start();
    await away.break();
    clock.ms += minuteMs;
    expect((await head(mirror.url, `${base}/manifests/cold`)).status).toBe(503);
    upstream.thaw();
    await upstream.accept().catch(() => {});
    await expect
      .poll(() => mirror.metric('cistern_breaker_open{upstream="docker.io"}'), {
        timeout: 15_000,
        interval: 200,
      })
      .toBe(0);
    const manifest = await get(mirror.url, `${base}/manifests/latest`);
    expect(manifest.status).toBe(200);
    expect(manifest.headers.has('warning')).toBe(false);
  });
});

test('an index goes out while the upstream is away only when one child is complete', async () => {
  const upstream = await startFakeUpstream();
  const whole = buildIndex();
  const [child] = whole.children;
  upstream.put('library/alpine', whole, 'whole');
  const mirror = await startTestMirror({ upstream, config: { tags: { ttl: 0 } } });
  await get(mirror.url, `${base}/manifests/whole`);
  await get(mirror.url, `${base}/manifests/${child?.digest}`);
  await upstream.refuse();
  expect((await get(mirror.url, `${base}/manifests/whole`)).status).toBe(503);
  await upstream.accept();
  await expect
    .poll(async () => (await get(mirror.url, `${base}/manifests/whole`)).status, {
      timeout: 15_000,
      interval: 200,
    })
    .toBe(200);
  for (const { descriptor } of child?.blobs ?? [])
    await get(mirror.url, `${base}/blobs/${descriptor.digest}`);
  await upstream.refuse();
  expect((await get(mirror.url, `${base}/manifests/whole`)).status).toBe(200);
});

test('a host that DNS does not know: warm content goes on after a restart, cold content is refused', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', image, 'latest');
  const before = await startTestMirror({ upstream });
  await pull(before.url, 'latest');
  await before.close();
  const mirror = await startTestMirror({
    storePath: before.storePath,
    upstream: { url: 'http://registry.invalid' },
    config: { tags: { ttl: 0 } },
  });
  expect(await pull(mirror.url, 'latest')).toEqual([200, 200, 200]);
  expect((await get(mirror.url, `${base}/manifests/cold`)).status).toBe(503);
  expect((await get(mirror.url, '/readyz')).status).toBe(200);
});

test('offline: true serves what is held, refuses the rest and dials no upstream', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', image, 'latest');
  const before = await startTestMirror({ upstream });
  await pull(before.url, 'latest');
  await before.close();
  upstream.log.clear();
  const mirror = await startTestMirror({
    storePath: before.storePath,
    upstream,
    config: { offline: true, tags: { ttl: 0 } },
  });
  expect(await pull(mirror.url, 'latest')).toEqual([200, 200, 200]);
  expect((await get(mirror.url, `${base}/manifests/cold`)).status).toBe(503);
  expect((await get(mirror.url, `${base}/blobs/${partial.layers[0]?.descriptor.digest}`)).status).toBe(404);
  expect(upstream.lines()).toEqual([]);
});
