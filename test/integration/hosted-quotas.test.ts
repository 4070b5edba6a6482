/** `hosted.quotas` and `hosted.max_size` over HTTP: 403 DENIED with limit, used and wanted, whichever way content comes in. */
import { expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { type BuiltImage, buildImage } from '../support/images.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { open, pushBlob, send, startUpload } from '../support/upload-client.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { isOnDisk } from './commands-rig.ts';

const base = patternBlob('base layer', 60_000);
const image = buildImage({ layers: [base] });

async function start(hosted: Record<string, unknown>) {
  const upstream = await startFakeUpstream();
  upstream.put('library/base', image, 'latest');
  const mirror = await startTestMirror({
    upstream,
    config: { hosted: { repositories: ['**'], ...hosted }, default_upstream: 'docker.io' },
  });
  await mirror.settled();
  return { upstream, mirror };
}

async function putManifest({ url }: TestMirror, name: string, tag: string, { bytes, mediaType }: BuiltImage) {
  const answer = await send(url, 'PUT', `/v2/${name}/manifests/${tag}`, {
    headers: { 'Content-Type': mediaType },
    body: bytes,
  });
  return { status: answer.status, ...errorOf(answer.body) };
}

function errorOf(body: Buffer): { readonly code?: string; readonly detail?: unknown } {
  if (body.length === 0) return {};
  const [{ code, detail }] = JSON.parse(body.toString()).errors;
  return { code, detail };
}

async function pullBase({ url, storePath }: TestMirror): Promise<void> {
  await get(url, '/v2/docker.io/library/base/manifests/latest');
  expect((await get(url, `/v2/docker.io/library/base/blobs/${base.digest}`)).sha256).toBe(base.digest);
  await expect.poll(() => isOnDisk(storePath, base.digest)).toBe(true);
}

test('an upload, a mount and an adoption that do not fit link nothing, and what fits goes on', async () => {
  const { mirror } = await start({ quotas: [{ repositories: ['team/**'], max_size: '100KB' }] });
  const { url } = mirror;
  const own = patternBlob('own', 90_000);
  expect(await pushBlob(url, 'team/app', own)).toBe(201);
  const denied = await send(url, 'POST', `/v2/team/app/blobs/uploads/?digest=${base.digest}`, {
    body: base.slice(0, base.size),
  });
  expect([denied.status, errorOf(denied.body)]).toEqual([
    403,
    { code: 'DENIED', detail: { of: 'bytes', limit: 100_000, used: 90_000, wanted: 60_000 } },
  ]);
  const { location } = await startUpload(url, 'team/app');
  const headers = { 'Content-Length': '60000', Expect: '100-continue' };
  for (const [method, path] of [
    ['POST', `/v2/team/app/blobs/uploads/?digest=${base.digest}`],
    ['PUT', `${location}?digest=${base.digest}`],
  ] as const) {
    const uninvited = open(url, method, path, headers);
    expect([(await uninvited.done).status, uninvited.interim]).toEqual([403, []]);
  }
  expect(await pushBlob(url, 'lab/app', base)).toBe(201); // no quota there
  const mount = await send(url, 'POST', `/v2/team/app/blobs/uploads/?mount=${base.digest}&from=lab/app`);
  expect([mount.status, errorOf(mount.body).code]).toEqual([403, 'DENIED']);
  await pullBase(mirror);
  expect((await head(url, `/v2/team/app/blobs/${base.digest}`)).status).toBe(404);
  expect((await head(url, `/v2/lab/other/blobs/${base.digest}`)).status).toBe(200); // adopted
  expect(await pushBlob(url, 'team/other', own)).toBe(201); // the same bytes: counted once
  expect(await pushBlob(url, 'team/app', patternBlob('small', 10_000))).toBe(201);
  expect(await pushBlob(url, 'team/app', patternBlob('one more', 1))).toBe(403);
});

test('manifests and tags count, each once, and what is used is known after a restart', async () => {
  const { upstream, mirror } = await start({ quotas: [{ repositories: ['team/*'], max_tags: 2 }] });
  for (const { content } of image.blobs) expect(await pushBlob(mirror.url, 'team/app', content)).toBe(201);
  for (const tag of ['v1', 'v2', 'v2'])
    expect(await putManifest(mirror, 'team/app', tag, image)).toMatchObject({ status: 201 });
  const detail = { of: 'tags', limit: 2, used: 2, wanted: 1 };
  expect(await putManifest(mirror, 'team/app', 'v3', image)).toEqual({ status: 403, code: 'DENIED', detail });
  await mirror.close();
  const again = await startTestMirror({
    upstream,
    storePath: mirror.storePath,
    config: {
      hosted: { repositories: ['**'], quotas: [{ repositories: ['team/*'], max_tags: 2 }], max_size: '70KB' },
    },
  });
  expect(await putManifest(again, 'team/app', 'v3', image)).toEqual({ status: 403, code: 'DENIED', detail });
  expect(await pushBlob(again.url, 'lab/app', patternBlob('too much', 10_000))).toBe(403); // hosted.max_size
  expect(await pushBlob(again.url, 'lab/app', patternBlob('just fits', 5000))).toBe(201);
});
