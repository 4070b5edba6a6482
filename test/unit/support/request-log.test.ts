import { expect, test } from 'vitest';
import { get, head } from '../../support/client.ts';
import { patternBlob } from '../../support/content.ts';
import { buildImage } from '../../support/images.ts';
import { blobLine, shortDigest } from '../../support/request-log.ts';
import { startFakeUpstream } from '../../support/upstream.ts';

const name = 'library/alpine';

test('lines are in order of arrival and say method, thing, query and range, and, when asked, status and repository', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage();
  upstream.put(name, image, '1');
  await get(upstream.url, `/v2/${name}/manifests/1?ns=docker.io`);
  await head(upstream.url, `/v2/${name}/manifests/2`);
  await get(upstream.url, `/v2/${name}/blobs/${image.layers[0]?.descriptor.digest}`, {
    headers: { Range: 'bytes=9-' },
  });
  await get(upstream.url, `/v2/${name}/referrers/${image.digest}`);
  const layer = shortDigest(image.layers[0]?.descriptor.digest ?? '');
  expect(upstream.lines()).toEqual([
    'GET manifests/1?ns=docker.io',
    'HEAD manifests/2',
    `GET blobs/${layer} bytes=9-`,
    `GET referrers/${shortDigest(image.digest)}`,
  ]);
  expect(upstream.lines({ status: true, repository: true }).slice(1, 3)).toEqual([
    `404 HEAD ${name} manifests/2`,
    `206 GET ${name} blobs/${layer} bytes=9-`,
  ]);
  expect(layer).toMatch(/^sha256:[0-9a-f]{12}…$/);
  upstream.log.clear();
  expect(upstream.lines()).toEqual([]);
});

test('an entry has the whole request', async () => {
  const upstream = await startFakeUpstream();
  await get(upstream.url, `/v2/${name}/manifests/1`, {
    headers: { Authorization: 'Bearer x', Accept: ['a', 'b'] },
  });
  const [entry] = upstream.requests;
  expect(entry).toMatchObject({
    ...{
      host: 'registry',
      kind: 'manifest',
      method: 'GET',
      path: `/v2/${name}/manifests/1`,
      repository: name,
      reference: '1',
    },
    ...{ authorization: 'bearer', status: 404, headers: { accept: 'a, b' } },
  });
  expect(entry?.bodyBytesSent).toBeGreaterThan(0);
  expect(upstream.contentBytes('manifest')).toBe(0);
});

test('content bytes are counted for each kind and digest, and are those the client got', async () => {
  const upstream = await startFakeUpstream();
  const [one, other] = [patternBlob('one', 300_000), patternBlob('other', 7)];
  for (const blob of [one, other]) upstream.putBlob(name, blob.digest, blob);
  let got = 0;
  for (const { digest } of [one, other, one])
    got += (await get(upstream.url, `/v2/${name}/blobs/${digest}`)).bytes;
  expect(upstream.contentBytes('blob')).toBe(got);
  expect([upstream.contentBytes('blob', one.digest), upstream.contentBytes('blob', other.digest)]).toEqual([
    600_000, 7,
  ]);
  expect(upstream.lines()).toEqual([one, other, one].map(blob => blobLine(blob.digest)));
});
