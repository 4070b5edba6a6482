/** What a manifest, a client or a body without a length claims evicts nothing; what comes evicts in step. */
import { expect, test } from 'vitest';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { changeHeaders, hugeBody } from '../support/faults.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { blobLine } from '../support/request-log.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const megabyte = 1_000_000;
const blobPath = (digest: string, name = 'app') => `/v2/library/${name}/blobs/${digest}`;
const absent = patternBlob('absent', 10).digest;

/** A store of 60 MB with 48 MB in it. */
async function startFilled(): Promise<{ upstream: FakeUpstream; mirror: TestMirror; held: BuiltImage }> {
  const upstream = await startFakeUpstream();
  const mirror = await startTestMirror({ upstream, config: { store: { max_size: '60MB' } } });
  const layers = Array.from({ length: 16 }, (_, index) => patternBlob(`held ${index}`, 3 * megabyte));
  const held = buildImage({ layers });
  upstream.put('library/app', held, 'latest');
  await get(mirror.url, '/v2/library/app/manifests/latest');
  for (const { digest } of layers) await get(mirror.url, blobPath(digest), { keep: false });
  upstream.log.clear();
  return { upstream, mirror, held };
}

/** A manifest whose layer says to have so many bytes. */
async function putClaim(
  upstream: FakeUpstream,
  mirror: TestMirror,
  digest: string,
  size: number,
): Promise<void> {
  const mediaType = 'application/vnd.oci.image.layer.v1.tar';
  const evil = buildImage({ layers: ['tiny'], extra: { layers: [{ mediaType, digest, size }] } });
  upstream.put('library/evil', evil, 'latest');
  expect((await get(mirror.url, '/v2/library/evil/manifests/latest')).status).toBe(200);
}

test('a manifest that claims a large layer costs others nothing, whether the blob is absent or small', async () => {
  const { upstream, mirror } = await startFilled();
  const tiny = patternBlob('tiny', 2048).digest;
  for (const digest of [absent, tiny]) {
    await putClaim(upstream, mirror, digest, 58 * megabyte);
    upstream.log.clear();
    await get(mirror.url, blobPath(digest, 'evil'));
    expect(upstream.lines()).toEqual([blobLine(digest)]);
  }
  expect(await mirror.metric('cistern_evictions_total')).toBe(0);
});

test('a range that a client asks for evicts nothing before its bytes come', async () => {
  const { upstream, mirror } = await startFilled();
  const range = `bytes=0-${55 * megabyte}`;
  expect((await get(mirror.url, blobPath(absent), { headers: { Range: range } })).status).toBe(404);
  expect(upstream.lines()).toHaveLength(1);
  expect(await mirror.metric('cistern_evictions_total')).toBe(0);
});

test('a length that a source says evicts as far as its bytes come', async () => {
  const { upstream, mirror } = await startFilled();
  const large = patternBlob('large', 50 * megabyte);
  upstream.put('library/app', buildImage({ layers: [large] }), 'large');
  const hold = upstream.holdAfter({ digest: large.digest }, 5 * megabyte);
  const pull = get(mirror.url, blobPath(large.digest), { keep: false });
  await hold.reached;
  await expect.poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(1);
  expect(await mirror.metric('cistern_evictions_total')).toBeLessThanOrEqual(4); // down to the low watermark
  hold.release();
  expect(await pull).toMatchObject({ end: 'complete', sha256: large.digest });
  expect(await mirror.metric('cistern_evictions_total')).toBeGreaterThan(10);
});

test('an endless body without a length costs at most half of what is held, and reaches its client all the same', async () => {
  const { upstream, mirror } = await startFilled();
  const wrong = patternBlob('endless', 100);
  upstream.content.putBlob('library/app', wrong.digest, wrong);
  const fault = { ...hugeBody(120 * megabyte), ...changeHeaders({ 'Content-Length': undefined }) };
  upstream.fault({ digest: wrong.digest }, fault, { times: 'always' });
  for (const _try of [1, 2]) {
    const { bytes } = await get(mirror.url, blobPath(wrong.digest), { keep: false });
    expect(bytes).toBeGreaterThan(100 * megabyte);
  }
  expect(await mirror.metric('cistern_evictions_total')).toBeLessThanOrEqual(8);
});
