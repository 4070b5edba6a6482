import { Client } from 'undici';
import { describe, expect, onTestFinished, test } from 'vitest';
import { get, head, request } from '../../support/client.ts';
import { patternBlob } from '../../support/content.ts';
import { buildArtifact, buildImage, buildIndex } from '../../support/images.ts';
import { blobLine, manifestLine } from '../../support/request-log.ts';
import { FakeUpstream, startFakeUpstream } from '../../support/upstream.ts';

const name = 'library/alpine';
const big = patternBlob('big', 1_000_000);
const blobPath = `/v2/${name}/blobs/${big.digest}`;

async function startWithImage(options: Parameters<typeof startFakeUpstream>[0] = {}) {
  const upstream = await startFakeUpstream(options);
  const image = buildImage({ layers: ['layer a', big] });
  upstream.put(name, image, '3.20');
  return { upstream, image };
}

const json = (body: Buffer) => JSON.parse(body.toString());

test('the ping is 200', async () => {
  const { upstream } = await startWithImage();
  expect(await get(upstream.url, '/v2/')).toMatchObject({ status: 200, end: 'complete' });
  expect(upstream.lines()).toEqual(['GET /v2/']);
});

describe('a manifest', () => {
  test('comes by tag and by digest, with type, digest and length', async () => {
    const { upstream, image } = await startWithImage();
    for (const reference of ['3.20', image.digest]) {
      const answer = await get(upstream.url, `/v2/${name}/manifests/${reference}`);
      expect(answer.body.equals(image.bytes)).toBe(true);
      const { headers } = await head(upstream.url, `/v2/${name}/manifests/${reference}`);
      for (const fields of [answer.headers, headers]) {
        expect(fields.get('content-type')).toBe(image.mediaType);
        expect(fields.get('docker-content-digest')).toBe(image.digest);
        expect(fields.get('content-length')).toBe(String(image.bytes.length));
      }
    }
    expect(upstream.lines()).toEqual([
      manifestLine('3.20'),
      manifestLine('3.20', 'HEAD'),
      manifestLine(image.digest),
      manifestLine(image.digest, 'HEAD'),
    ]);
  });

  test('follows its tag when that moves and is gone when it is taken away', async () => {
    const { upstream } = await startWithImage();
    const newer = buildImage({ layers: ['newer'] });
    upstream.move(name, '3.20', newer);
    expect((await get(upstream.url, `/v2/${name}/manifests/3.20`)).body.equals(newer.bytes)).toBe(true);
    upstream.untag(name, '3.20');
    expect(await get(upstream.url, `/v2/${name}/manifests/3.20`)).toMatchObject({ status: 404 });
    expect(await get(upstream.url, `/v2/${name}/manifests/${newer.digest}`)).toMatchObject({ status: 200 });
  });

  test('of an index comes with all its children', async () => {
    const { upstream } = await startWithImage();
    const index = buildIndex();
    upstream.put(name, index, 'multi');
    for (const { descriptor } of index.manifests) {
      expect(await get(upstream.url, `/v2/${name}/manifests/${descriptor.digest}`)).toMatchObject({
        sha256: descriptor.digest,
      });
    }
  });
});

describe('a blob', () => {
  test('comes whole, and HEAD says its length', async () => {
    const { upstream } = await startWithImage();
    expect(await get(upstream.url, blobPath)).toMatchObject({
      status: 200,
      sha256: big.digest,
      end: 'complete',
    });
    const { status, headers, bytes } = await head(upstream.url, blobPath);
    expect([status, headers.get('content-length'), bytes]).toEqual([200, '1000000', 0]);
    expect(upstream.contentBytes('blob')).toBe(1_000_000);
  });

  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=100-', 100, 1_000_000],
    ['bytes=999999-', 999_999, 1_000_000],
    ['bytes=2000-5000', 2000, 5001],
    ['bytes=2000-5000000', 2000, 1_000_000],
    ['bytes=-500', 999_500, 1_000_000],
    ['bytes=-5000000', 0, 1_000_000],
  ])('comes in part for %s', async (range, start, end) => {
    const { upstream } = await startWithImage();
    const { status, headers, body } = await get(upstream.url, blobPath, { headers: { Range: range } });
    expect(status).toBe(206);
    expect(headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/1000000`);
    expect(body.equals(big.slice(start, end))).toBe(true);
    expect(upstream.lines()).toEqual([blobLine(big.digest, range)]);
    expect(upstream.contentBytes('blob')).toBe(end - start);
  });

  test.each(['bytes=1000000-', 'bytes=1000001-2000000', 'bytes=-0'])('is 416 for %s', async range => {
    const { upstream } = await startWithImage();
    const { status, headers, bytes } = await get(upstream.url, blobPath, { headers: { Range: range } });
    expect([status, headers.get('content-range'), bytes]).toEqual([416, 'bytes */1000000', 0]);
  });

  test.each(['bytes=500-0', 'bytes=-', 'bytes=a-b', 'items=0-1', 'bytes=0-1,5-6'])(
    'comes whole for %s',
    async range => {
      const { upstream } = await startWithImage();
      expect(await get(upstream.url, blobPath, { headers: { Range: range } })).toMatchObject({
        status: 200,
        bytes: 1_000_000,
      });
    },
  );

  test('is known only in the repository it was put into', async () => {
    const { upstream } = await startWithImage();
    upstream.put('library/other', buildImage({ layers: ['other'] }), '1');
    expect(await get(upstream.url, blobPath.replace('alpine', 'other'))).toMatchObject({ status: 404 });
  });

  test('is understood alike by a library, over one kept connection', async () => {
    const { upstream } = await startWithImage();
    const library = new Client(upstream.url);
    onTestFinished(() => library.destroy());
    for (let turn = 0; turn < 3; turn += 1) {
      const { statusCode, body } = await library.request({ method: 'GET', path: blobPath });
      expect(statusCode).toBe(200);
      expect(Buffer.from(await body.arrayBuffer()).equals(big.slice(0, big.size))).toBe(true);
    }
    expect(upstream.host('registry').connections).toBe(1);
  });
});

describe('tags', () => {
  const path = `/v2/${name}/tags/list`;
  async function startWithTags(options: Parameters<typeof startFakeUpstream>[0] = {}) {
    const upstream = await startFakeUpstream(options);
    for (const tag of ['c', 'a', 'e', 'b', 'd']) upstream.put(name, buildImage(), tag);
    return upstream;
  }

  test('come in pages that lead to each other until the last', async () => {
    const upstream = await startWithTags();
    const pages: string[][] = [];
    for (let next: string | undefined = `${path}?n=2`; next !== undefined; ) {
      const { body, headers } = await get(upstream.url, next);
      pages.push(json(body).tags);
      next = /^<(.+)>; rel="next"$/.exec(headers.get('link') ?? '')?.[1];
    }
    expect(pages).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
    expect(upstream.lines()).toEqual(
      ['?n=2', '?n=2&last=b', '?n=2&last=d'].map(query => `GET tags/list${query}`),
    );
  });

  test('are all there without n, and none for n=0', async () => {
    const upstream = await startWithTags();
    expect(json((await get(upstream.url, path)).body)).toEqual({ name, tags: ['a', 'b', 'c', 'd', 'e'] });
    const { body, headers } = await get(upstream.url, `${path}?n=0`);
    expect([json(body).tags, headers.has('link')]).toEqual([[], false]);
  });

  test('of a linkless upstream come at once; of one with small pages in these', async () => {
    const linkless = await startWithTags({ quirks: { linklessTags: true } });
    const answer = await get(linkless.url, `${path}?n=2`);
    expect([json(answer.body).tags.length, answer.headers.has('link')]).toEqual([5, false]);
    const small = await startWithTags({ quirks: { maxTagsPage: 3 } });
    expect(json((await get(small.url, path)).body).tags).toEqual(['a', 'b', 'c']);
  });

  test('of an unknown repository are 404', async () => {
    expect(await get((await startWithTags()).url, '/v2/no/tags/list')).toMatchObject({ status: 404 });
  });
});

describe('referrers', () => {
  test('are the manifests with that subject, filtered by type when asked', async () => {
    const { upstream, image } = await startWithImage();
    const sbom = buildArtifact({ subject: image, artifactType: 'application/sbom', annotations: { a: 'b' } });
    const signature = buildArtifact({ subject: image, artifactType: 'application/signature' });
    for (const artifact of [sbom, signature]) upstream.put(name, artifact);
    const path = `/v2/${name}/referrers/${image.digest}`;
    const all = await get(upstream.url, path);
    expect(all.headers.get('content-type')).toBe('application/vnd.oci.image.index.v1+json');
    expect(json(all.body).manifests.map((one: { digest: string }) => one.digest)).toEqual([
      sbom.digest,
      signature.digest,
    ]);
    const some = await get(upstream.url, `${path}?artifactType=application/sbom`);
    expect(some.headers.get('oci-filters-applied')).toBe('artifactType');
    expect(json(some.body).manifests).toEqual([
      { ...sbom.descriptor, artifactType: 'application/sbom', annotations: { a: 'b' } },
    ]);
  });

  test('are an empty index where there are none, and 404 without the API', async () => {
    const { upstream, image } = await startWithImage();
    const path = `/v2/${name}/referrers/${image.digest}`;
    expect(json((await get(upstream.url, path)).body).manifests).toEqual([]);
    const without = await startWithImage({ quirks: { noReferrers: true } });
    expect(await get(without.upstream.url, path)).toMatchObject({ status: 404 });
  });
});

describe('quirks', () => {
  test('without ranges every answer is the whole', async () => {
    const { upstream } = await startWithImage({ quirks: { noRange: true } });
    const { status, headers, bytes } = await get(upstream.url, blobPath, { headers: { Range: 'bytes=5-' } });
    expect([status, headers.has('accept-ranges'), bytes]).toEqual([200, false, 1_000_000]);
  });

  test('a HEAD without digest leaves it on GET', async () => {
    const { upstream } = await startWithImage({ quirks: { headWithoutDigest: true } });
    const path = `/v2/${name}/manifests/3.20`;
    expect((await head(upstream.url, path)).headers.has('docker-content-digest')).toBe(false);
    expect((await get(upstream.url, path)).headers.has('docker-content-digest')).toBe(true);
  });

  test('chunked bodies have no length and are complete', async () => {
    const { upstream } = await startWithImage({ quirks: { chunked: true } });
    const { headers, sha256, end } = await get(upstream.url, blobPath);
    expect([headers.has('content-length'), headers.get('transfer-encoding')]).toEqual([false, 'chunked']);
    expect([sha256, end]).toEqual([big.digest, 'complete']);
    expect(upstream.contentBytes('blob')).toBe(1_000_000);
  });

  test('a HEAD of a blob can be unsupported', async () => {
    const { upstream } = await startWithImage({ quirks: { noBlobHead: true } });
    expect(await head(upstream.url, blobPath)).toMatchObject({ status: 405 });
  });
});

test('with TLS it is reached by its own authority only', async () => {
  const { upstream } = await startWithImage({ tls: true, redirect: true });
  const { headers } = await get(upstream.url, blobPath, { ca: upstream.caPem });
  const storage = new URL(headers.get('location') ?? '');
  expect(storage.protocol).toBe('https:');
  const answer = await get(storage.origin, `${storage.pathname}${storage.search}`, { ca: upstream.caPem });
  expect(answer).toMatchObject({ sha256: big.digest, end: 'complete' });
  await expect(get(upstream.url, '/v2/')).rejects.toThrow('certificate');
});

test('other methods and unknown paths are refused', async () => {
  const { upstream } = await startWithImage();
  expect(await request(upstream.url, { method: 'PUT', path: blobPath, body: 'x' }).done).toMatchObject({
    status: 405,
  });
  expect(await get(upstream.url, '/v2/_catalog')).toMatchObject({ status: 404 });
  expect(await get(upstream.url, '/elsewhere')).toMatchObject({ status: 404 });
});

test('closing it twice is closing it once, and nothing answers any more', async () => {
  const upstream = await FakeUpstream.start();
  await Promise.all([upstream.close(), upstream.close()]);
  await expect(get(upstream.url, '/v2/')).rejects.toThrow('ECONNREFUSED');
});
