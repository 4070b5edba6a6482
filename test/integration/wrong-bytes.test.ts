/** Wrong bytes from an upstream: no client gets them whole, not by resuming either; nothing is kept; the next ask is healed. */
import { expect, test } from 'vitest';
import { get, request, requestMany } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { claimDigest, declareLength, extend, flip, replaceBody, truncate } from '../support/faults.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const size = 5_000_000;
const blob = patternBlob('wrong', size);
const path = `/v2/library/big/blobs/${blob.digest}`;

async function start(options: Parameters<typeof startFakeUpstream>[0] = {}) {
  const upstream = await startFakeUpstream(options);
  upstream.putBlob('library/big', blob.digest, blob);
  return { upstream, mirror: await startTestMirror({ upstream }) };
}

async function blobFiles(storePath: string): Promise<string[]> {
  return (await filesUnder(storePath)).filter(
    file => file.startsWith('blobs-v1') || file.startsWith('ingest-v1'),
  );
}

test.each([0, size / 2, size - 1])(
  'a flipped bit at %i: every client is cut by FIN before the end, nothing stays',
  async at => {
    const { upstream, mirror } = await start();
    upstream.fault({ digest: blob.digest }, flip(at), { times: 'always' });
    const results = await Promise.all(requestMany(8, mirror.url, { path }).map(call => call.done));
    for (const result of results) {
      if (result.status === 200) expect(result).toMatchObject({ end: 'fin-early' });
      expect(result.bytes).toBeLessThan(size);
    }
    await expect.poll(() => blobFiles(mirror.storePath)).toEqual([]);
    expect(await mirror.metric('cistern_digest_mismatch_total{upstream="docker.io"}')).toBeGreaterThan(0);
  },
);

test('the next request after wrong bytes is healed', async () => {
  const { upstream, mirror } = await start();
  upstream.fault({ digest: blob.digest }, flip(10));
  const first = await get(mirror.url, path, { keep: false });
  expect(first.bytes).toBeLessThan(size);
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({
    status: 200,
    sha256: blob.digest,
    end: 'complete',
  });
  expect(upstream.lines()).toEqual([blobLine(blob.digest), blobLine(blob.digest)]);
});

test('a client that was cut and resumes gets 200 and the whole blob, so it cannot glue a good tail to a wrong head', async () => {
  const { upstream, mirror } = await start();
  upstream.fault({ digest: blob.digest }, flip(10));
  const first = await get(mirror.url, path);
  expect(first.end).toBe('fin-early');
  const resumed = await get(mirror.url, path, { headers: { Range: `bytes=${first.bytes}-` } });
  expect(resumed).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
});

test('wrong bytes through a redirect: the same', async () => {
  const { upstream, mirror } = await start({ redirect: true });
  upstream.fault({ digest: blob.digest }, flip(size / 2));
  expect((await get(mirror.url, path, { keep: false })).bytes).toBeLessThan(size);
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({
    sha256: blob.digest,
    end: 'complete',
  });
});

test.each([
  ['too short', truncate(size - 10)],
  ['too long', extend(10)],
])('a body that is %s by its own account is never given whole', async (_name, fault) => {
  const { upstream, mirror } = await start();
  upstream.fault({ digest: blob.digest }, fault, { times: 'always' });
  const result = await get(mirror.url, path, { keep: false });
  expect(result.status === 404 || result.end === 'fin-early').toBe(true);
  expect(result.sha256).not.toBe(blob.digest);
  await expect.poll(() => blobFiles(mirror.storePath)).toEqual([]);
});

test('a body shorter than its Content-Length is continued', async () => {
  const { upstream, mirror } = await start();
  upstream.fault({ digest: blob.digest }, { ...declareLength(size), cutAfter: size - 10 });
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({
    sha256: blob.digest,
    end: 'complete',
  });
});

test('a length unlike the one in the manifest: nothing is sent, the blob is 404', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage({ layers: [blob] });
  upstream.put('library/big', image, 'latest');
  const mirror = await startTestMirror({ upstream });
  await get(mirror.url, '/v2/library/big/manifests/latest');
  upstream.fault({ digest: blob.digest }, extend(10), { times: 'always' });
  const result = await get(mirror.url, path);
  expect(result.status).toBe(404);
  expect(JSON.parse(result.body.toString()).errors[0].code).toBe('BLOB_UNKNOWN');
});

test('a wrong config blob is never seen by a client when a good answer follows', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage();
  upstream.put('library/alpine', image, 'latest');
  const mirror = await startTestMirror({ upstream });
  const config = image.config?.descriptor.digest ?? '';
  upstream.fault({ digest: config }, flip(3));
  const results = await Promise.all(
    requestMany(8, mirror.url, { path: `/v2/library/alpine/blobs/${config}` }).map(call => call.done),
  );
  for (const result of results)
    expect(result).toMatchObject({ status: 200, sha256: config, end: 'complete' });
  expect(upstream.lines()).toEqual([blobLine(config), blobLine(config)]);
});

test('a config blob that stays wrong is 404 in JSON, with nothing of it sent', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage();
  upstream.put('library/alpine', image, 'latest');
  const mirror = await startTestMirror({ upstream });
  const config = image.config?.descriptor.digest ?? '';
  upstream.fault({ digest: config }, flip(3), { times: 'always' });
  const result = await get(mirror.url, `/v2/library/alpine/blobs/${config}`);
  expect(result.status).toBe(404);
  expect(JSON.parse(result.body.toString()).errors[0].code).toBe('BLOB_UNKNOWN');
  expect(upstream.lines()).toHaveLength(2);
});

test.each([
  ['by tag', 'latest'],
  ['by digest', ''],
])('a wrong manifest %s is never seen by a client when a good answer follows', async (_name, tag) => {
  const upstream = await startFakeUpstream();
  const image = buildImage();
  upstream.put('library/alpine', image, 'latest');
  const mirror = await startTestMirror({ upstream });
  const reference = tag === '' ? image.digest : tag;
  const fault = tag === '' ? replaceBody('{}') : claimDigest(`sha256:${'0'.repeat(64)}`);
  upstream.fault({ reference }, fault);
  expect(await get(mirror.url, `/v2/library/alpine/manifests/${reference}`)).toMatchObject({
    status: 200,
    sha256: image.digest,
  });
  expect(upstream.lines()).toEqual([manifestLine(reference), manifestLine(reference)]);
});

test('no range that reaches the last byte ends before the digest is right', async () => {
  const { upstream, mirror } = await start();
  upstream.fault({ digest: blob.digest }, flip(10), { times: 'always' });
  for (const range of ['bytes=-10', `bytes=${size - 10}-`, `bytes=${size - 10}-${size - 1}`]) {
    const call = request(mirror.url, { path, headers: { Range: range } });
    const result = await call.done;
    expect(result.status === 404 || result.end === 'fin-early').toBe(true);
  }
});
