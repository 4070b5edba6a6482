/** The id of a client's request goes along with every question that the upstream is asked for it, and with no other host's. */
import { expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const image = buildImage({ layers: ['layer', patternBlob('big', 3_000_000)] });
const [layer = '', big = ''] = image.layers.map(({ descriptor }) => descriptor.digest);

test.each([
  ['GET', 'manifests/latest', 'GET manifest'],
  ['HEAD', 'manifests/latest', 'HEAD manifest'],
  ['GET', `manifests/${image.digest}`, 'GET manifest'],
  ['HEAD', `manifests/${image.digest}`, 'HEAD manifest'],
  ['GET', `blobs/${layer}`, 'GET blob'],
  ['HEAD', `blobs/${layer}`, 'HEAD blob'],
  ['GET', 'tags/list', 'GET tags'],
  ['GET', `referrers/${image.digest}`, 'GET referrers'],
] as const)('%s %s', async (method, target, question) => {
  const upstream = await startFakeUpstream({ redirect: true });
  upstream.put('library/alpine', image, 'latest');
  const mirror = await startTestMirror({ upstream });
  const ask = method === 'GET' ? get : head;
  await ask(mirror.url, `/v2/library/alpine/${target}`, { headers: { 'X-Request-Id': 'mine' } });
  const ids = upstream.requests.map(({ host, headers }) => `${host} ${headers['x-request-id'] ?? 'none'}`);
  expect(upstream.requests.map(({ method: asked, kind }) => `${asked} ${kind}`)[0]).toBe(question);
  expect(new Set(ids.filter(id => id.startsWith('registry')))).toEqual(new Set(['registry mine']));
  expect(new Set(ids.filter(id => id.startsWith('storage')))).toEqual(
    new Set(question.endsWith('blob') ? ['storage none'] : []),
  );
});

test('a range, and the download that a joined client needs, have the id of who began them', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/alpine', image, 'latest');
  const mirror = await startTestMirror({ upstream });
  const path = `/v2/library/alpine/blobs/${big}`;
  await get(mirror.url, path, { headers: { 'X-Request-Id': 'ranged', Range: 'bytes=100-199' } });
  await get(mirror.url, path, { headers: { 'X-Request-Id': 'whole' } });
  const ids = upstream.requests.map(({ headers }) => headers['x-request-id']);
  expect(ids[0]).toBe('ranged');
  expect(ids.slice(1)).toContain('whole');
  expect(ids).not.toContain(undefined);
});
