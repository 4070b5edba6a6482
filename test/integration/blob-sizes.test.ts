/** HEAD of a cold blob names its length: out of a manifest, also after a restart, else from the store behind a redirect. */
import { expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const image = buildImage();
const [layer] = image.layers;
if (layer === undefined) throw new Error('expected a layer');
const { digest, size } = layer.descriptor;
const layerPath = `/v2/library/alpine/blobs/${digest}`;
const manifestPath = '/v2/library/alpine/manifests/latest';

async function start(options: Parameters<typeof startFakeUpstream>[0] = {}) {
  const upstream = await startFakeUpstream(options);
  upstream.put('library/alpine', image, 'latest');
  return { upstream, mirror: await startTestMirror({ upstream }) };
}

test('behind a redirect the store is asked, once', async () => {
  const { upstream, mirror } = await start({ redirect: true });
  const result = await head(mirror.url, layerPath);
  expect([result.status, result.headers.get('content-length')]).toEqual([200, String(size)]);
  expect(upstream.lines()).toEqual([
    blobLine(digest, undefined, 'HEAD'),
    `storage ${blobLine(digest, undefined, 'HEAD')}`,
  ]);
});

test('a store that refuses HEAD is asked for byte 0', async () => {
  const { upstream, mirror } = await start({ redirect: true });
  upstream.fault({ kind: 'blob', method: 'HEAD', host: 'storage' }, { status: 403 }, { times: 'always' });
  const result = await head(mirror.url, layerPath);
  expect([result.status, result.headers.get('content-length')]).toEqual([200, String(size)]);
  expect(upstream.lines({ host: 'registry' })).toEqual([
    blobLine(digest, undefined, 'HEAD'),
    blobLine(digest, 'bytes=0-0'),
  ]);
  expect(upstream.contentBytes('blob')).toBe(1);
});

test('a size learnt from a manifest survives a restart', async () => {
  const { upstream, mirror } = await start({ redirect: true });
  await get(mirror.url, manifestPath);
  await mirror.close();
  const again = await startTestMirror({ upstream, storePath: mirror.storePath });
  const result = await head(again.url, layerPath);
  expect([result.status, result.headers.get('content-length')]).toEqual([200, String(size)]);
  expect(upstream.lines()).toEqual([manifestLine('latest')]);
});
