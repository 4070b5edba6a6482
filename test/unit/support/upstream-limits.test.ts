import { describe, expect, test } from 'vitest';
import { type CallOptions, get, head } from '../../support/client.ts';
import { patternBlob } from '../../support/content.ts';
import { buildImage } from '../../support/images.ts';
import { blobLine } from '../../support/request-log.ts';
import { type FakeUpstreamOptions, startFakeUpstream } from '../../support/upstream.ts';

const name = 'library/alpine';
const big = patternBlob('big', 100_000);
const blobPath = `/v2/${name}/blobs/${big.digest}`;
const manifestPath = `/v2/${name}/manifests/1`;

async function startWithImage(options: FakeUpstreamOptions) {
  const upstream = await startFakeUpstream(options);
  upstream.put(name, buildImage({ layers: [big] }), '1');
  return upstream;
}

describe('redirected blobs', () => {
  async function startRedirected(redirect: FakeUpstreamOptions['redirect'] = true) {
    const upstream = await startWithImage({ redirect });
    const locate = async (method = get) => {
      const { status, headers } = await method(upstream.url, blobPath);
      return { status, location: new URL(headers.get('location') ?? '') };
    };
    const follow = ({ location }: { location: URL }, options: CallOptions = {}) =>
      get(location.origin, location.pathname + location.search, options);
    return { upstream, locate, follow };
  }

  test('are sent by another host, and the log says by which', async () => {
    const { upstream, locate, follow } = await startRedirected();
    const found = await locate();
    expect([found.status, found.location.host]).toEqual([307, upstream.host('storage').address]);
    expect(found.location.host).not.toBe(upstream.address);
    expect(await follow(found, { headers: { Range: 'bytes=99990-' } })).toMatchObject({
      status: 206,
      bytes: 10,
    });
    expect(upstream.lines()).toEqual([
      blobLine(big.digest),
      `storage ${blobLine(big.digest, 'bytes=99990-')}`,
    ]);
    expect(upstream.lines({ host: 'registry' })).toEqual([blobLine(big.digest)]);
    expect(upstream.lines({ host: 'storage' })).toEqual([blobLine(big.digest, 'bytes=99990-')]);
    expect(upstream.contentBytes('blob', big.digest)).toBe(10);
  });

  test('have URLs that hold once, for their method, and never with Authorization', async () => {
    const { locate, follow } = await startRedirected();
    const found = await locate();
    expect(await follow(found)).toMatchObject({ status: 200, sha256: big.digest });
    expect(await follow(found)).toMatchObject({ status: 403 });
    expect(await follow(await locate(), { headers: { Authorization: 'Bearer x' } })).toMatchObject({
      status: 400,
    });
    expect(await follow(await locate(head))).toMatchObject({ status: 403 });
    const forHead = await locate(head);
    expect(
      await head(forHead.location.origin, forHead.location.pathname + forHead.location.search),
    ).toMatchObject({ status: 200 });
  });

  test('can have another status and be used more often', async () => {
    const { locate, follow } = await startRedirected({ status: 302, uses: 2 });
    const found = await locate();
    expect(found.status).toBe(302);
    expect([
      (await follow(found)).status,
      (await follow(found)).status,
      (await follow(found)).status,
    ]).toEqual([200, 200, 403]);
  });

  test('that are unknown are 404 without a redirect; manifests are never redirected', async () => {
    const { upstream } = await startRedirected();
    expect(await get(upstream.url, blobPath.replace(/.{4}$/, '0000'))).toMatchObject({ status: 404 });
    expect(await get(upstream.url, manifestPath)).toMatchObject({ status: 200 });
  });
});

describe('a pull quota', () => {
  const state = (headers: ReadonlyMap<string, string>) => [
    headers.get('ratelimit-limit'),
    headers.get('ratelimit-remaining'),
  ];

  test('is spent by GETs of manifests alone, and is told on HEAD too', async () => {
    const upstream = await startWithImage({ rateLimit: { limit: 3 } });
    expect(state((await head(upstream.url, manifestPath)).headers)).toEqual(['3;w=21600', '3;w=21600']);
    await get(upstream.url, blobPath);
    expect(state((await get(upstream.url, manifestPath)).headers)).toEqual(['3;w=21600', '2;w=21600']);
    expect(state((await head(upstream.url, manifestPath)).headers)).toEqual(['3;w=21600', '2;w=21600']);
    expect(upstream.quota?.remaining).toBe(2);
  });

  test('that is used up answers GET with 429 and leaves HEAD and blobs free', async () => {
    const upstream = await startWithImage({ rateLimit: { limit: 1, retryAfterS: 7 } });
    expect(await get(upstream.url, manifestPath)).toMatchObject({ status: 200 });
    const refused = await get(upstream.url, manifestPath);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '7']);
    expect(JSON.parse(refused.body.toString()).errors[0].code).toBe('TOOMANYREQUESTS');
    expect(await head(upstream.url, manifestPath)).toMatchObject({ status: 200 });
    expect(await get(upstream.url, blobPath)).toMatchObject({ status: 200 });
    if (upstream.quota !== undefined) upstream.quota.remaining = 1;
    expect(await get(upstream.url, manifestPath)).toMatchObject({ status: 200 });
  });

  test('can begin used up, say no Retry-After and refuse HEAD', async () => {
    const upstream = await startWithImage({ rateLimit: { limit: 100, remaining: 0, headToo: true } });
    const refused = await head(upstream.url, manifestPath);
    expect([refused.status, refused.headers.has('retry-after')]).toEqual([429, false]);
  });
});
