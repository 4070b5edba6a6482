/** Which names are hosted and who may do what there, over HTTP: the order of names, rights, privacy, the catalog, read-only. */
import { expect, test } from 'vitest';
import { type CallResult, get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage, buildIndex } from '../support/images.ts';
import { startTestMirror, type TestMirror, type TestMirrorOptions } from '../support/mirror.ts';
import { pushBlob, send, startUpload } from '../support/upload-client.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const image = buildImage();
const hosted = { repositories: ['team/**', 'tools'] };

function start(options: TestMirrorOptions = {}): Promise<TestMirror> {
  return startTestMirror({ ...options, config: { hosted, ...options.config } });
}

async function push(
  mirror: TestMirror,
  name = 'team/app',
  pushed = image,
  reference = 'latest',
): Promise<number> {
  for (const { content } of pushed.blobs) expect(await pushBlob(mirror.url, name, content)).toBe(201);
  const headers = { 'Content-Type': pushed.mediaType };
  const path = `/v2/${name}/manifests/${reference}`;
  return (await send(mirror.url, 'PUT', path, { headers, body: pushed.bytes })).status;
}

function errorOf({ status, body }: CallResult) {
  const { code, message } = JSON.parse(body.toString()).errors[0];
  return { status, code, message };
}

test('hosted names go before the default upstream, which the start says; an ns or a host leads upstream', async () => {
  const upstream = await startFakeUpstream();
  const other = buildIndex();
  for (const name of ['team/app', 'library/tools']) upstream.put(name, other, 'latest');
  const mirror = await start({ upstream });
  expect(mirror.log).toContainEqual(
    expect.objectContaining({
      msg: expect.stringContaining('hosted names go before those of the default upstream'),
      shadowed: ['docker.io/team/**', 'docker.io/library/tools'],
    }),
  );
  expect((await get(mirror.url, '/v2/team/app/manifests/latest')).status).toBe(404);
  expect(upstream.lines()).toEqual([]);
  expect([await push(mirror), await push(mirror, 'tools')]).toEqual([201, 201]);
  for (const path of ['team/app/manifests/latest', 'tools/manifests/latest'])
    expect((await get(mirror.url, `/v2/${path}`)).body).toEqual(image.bytes);
  expect(upstream.lines()).toEqual([]);
  for (const path of ['team/app/manifests/latest?ns=docker.io', 'docker.io/team/app/manifests/latest'])
    expect((await get(mirror.url, `/v2/${path}`)).body).toEqual(other.bytes);
  expect(
    await mirror.metric(
      'cistern_requests_total{upstream="hosted",kind="manifest",method="PUT",status="201",outcome="hit"}',
    ),
  ).toBe(2);
});

test('writes to names that are not hosted are 403 and name the patterns', async () => {
  const mirror = await start();
  for (const [method, path] of [
    ['PUT', 'library/app/manifests/x'],
    ['POST', 'other/app/blobs/uploads/'],
    ['PUT', 'docker.io/team/app/manifests/x'],
    ['PUT', 'team/app/manifests/x?ns=docker.io'],
  ] as const) {
    const answer = errorOf(await send(mirror.url, method, `/v2/${path}`));
    expect(answer).toMatchObject({ status: 403, code: 'DENIED' });
    expect(answer.message).toContain('hosted are: team/**, tools');
  }
  expect(errorOf(await send(mirror.url, 'PUT', '/v2/quay.io/x/manifests/x'))).toMatchObject({ status: 404 });
});

test('without any hosted repository pushes are 405', async () => {
  const mirror = await startTestMirror();
  for (const [method, path] of [
    ['PUT', 'team/app/manifests/x'],
    ['POST', 'team/app/blobs/uploads/'],
    ['DELETE', 'team/app/manifests/x'],
  ] as const)
    expect(errorOf(await send(mirror.url, method, `/v2/${path}`))).toMatchObject({
      status: 405,
      code: 'UNSUPPORTED',
    });
});

test('"**" without upstreams is a plain private registry', async () => {
  const mirror = await startTestMirror({ config: { upstreams: {}, hosted: { repositories: ['**'] } } });
  expect([await push(mirror, 'alpine'), await push(mirror, 'a/b/c')]).toEqual([201, 201]);
  expect((await get(mirror.url, '/v2/alpine/manifests/latest')).status).toBe(200);
  expect(errorOf(await get(mirror.url, '/v2/alpine/manifests/latest?ns=docker.io'))).toMatchObject({
    status: 404,
  });
  expect(errorOf(await send(mirror.url, 'PUT', '/v2/ghcr.io/x/manifests/x'))).toMatchObject({
    status: 404,
    code: 'NAME_UNKNOWN',
  });
});

test('with neither users nor rules anyone pulls and pushes, and DELETE is 405, never 401', async () => {
  const mirror = await start();
  expect(await push(mirror)).toBe(201);
  for (const path of ['manifests/latest', `manifests/${image.digest}`, `blobs/${image.digest}`]) {
    const answer = await send(mirror.url, 'DELETE', `/v2/team/app/${path}`);
    expect(errorOf(answer)).toMatchObject({ status: 405, code: 'UNSUPPORTED' });
    expect(answer.headers.get('www-authenticate')).toBeUndefined();
  }
  expect((await get(mirror.url, '/v2/team/app/manifests/latest')).status).toBe(200);
});

test('rules give each right by itself, and a refusal does not tell what exists', async () => {
  const rule = (repositories: string, ...actions: string[]) => ({
    repositories: [repositories],
    users: ['anonymous'],
    actions,
  });
  const rules = [
    rule('team/pull', 'pull'),
    rule('team/write', 'push'),
    rule('team/all', 'pull', 'push', 'delete'),
  ];
  const mirror = await start({ config: { access: { rules } } });
  expect([await push(mirror, 'team/write'), await push(mirror, 'team/all')]).toEqual([201, 201]);
  const statuses = async (name: string) => [
    (await get(mirror.url, `/v2/${name}/manifests/latest`)).status,
    (await send(mirror.url, 'POST', `/v2/${name}/blobs/uploads/`)).status,
    (await send(mirror.url, 'DELETE', `/v2/${name}/manifests/latest`)).status,
  ];
  expect(await statuses('team/pull')).toEqual([404, 403, 403]);
  expect(await statuses('team/write')).toEqual([403, 202, 403]);
  expect(await statuses('team/all')).toEqual([200, 202, 202]);
  expect(await statuses('team/nothing')).toEqual([403, 403, 403]);
  const catalog = await get(mirror.url, '/v2/_catalog');
  expect(JSON.parse(catalog.body.toString()).repositories).toEqual(['team/all']);
});

test('a private blob is had by nothing but its own repository', async () => {
  const upstream = await startFakeUpstream();
  upstream.put('library/open', buildImage({ layers: ['open'] }), 'latest');
  const secret = patternBlob('secret', 5000);
  const rules = [
    { repositories: ['team/secret'], users: ['anonymous'], from: ['127.0.0.2'], actions: ['pull', 'push'] },
    { repositories: ['team/secret'], users: ['anonymous'], actions: [] },
    { repositories: ['**'], users: ['anonymous'], actions: ['pull', 'push'] },
  ];
  const mirror = await start({ upstream, config: { access: { rules } } });
  const from = '127.0.0.2';
  const holder = buildImage({ layers: [secret] });
  for (const { content } of holder.blobs) {
    const uploads = '/v2/team/secret/blobs/uploads/';
    const started = await get(mirror.url, uploads, { method: 'POST', from, body: '' });
    const location = started.headers.get('location') ?? '';
    const body = content.slice(0, content.size);
    const done = await get(mirror.url, `${location}?digest=${content.digest}`, { method: 'PUT', from, body });
    expect(done.status).toBe(201);
  }
  const headers = { 'Content-Type': holder.mediaType };
  const path = '/v2/team/secret/manifests/latest';
  expect((await get(mirror.url, path, { method: 'PUT', from, headers, body: holder.bytes })).status).toBe(
    201,
  );
  await push(mirror);
  await get(mirror.url, '/v2/library/open/manifests/latest');

  const { digest } = secret;
  for (const [name, query] of [
    ['team/app', ''],
    ['team/new', ''],
    ['library/open', ''],
    ['docker.io/library/open', ''],
    ['library/open', '?ns=docker.io'],
    ['team/secret', '?ns=docker.io'],
    ['docker.io/team/secret', ''],
  ]) {
    for (const what of [`blobs/${digest}`, `blobs/${holder.digest}`, `manifests/${holder.digest}`]) {
      const target = `/v2/${name}/${what}${query}`;
      const asked = [
        await get(mirror.url, target),
        await head(mirror.url, target),
        await get(mirror.url, target, { headers: { Range: 'bytes=0-9' } }),
      ];
      for (const answer of asked) expect([target, answer.status]).toEqual([target, 404]);
    }
  }
  for (const what of [`blobs/${digest}`, `manifests/${holder.digest}`, 'tags/list', `referrers/${digest}`])
    expect((await get(mirror.url, `/v2/team/secret/${what}`)).status).toBe(403);
  for (const mount of [`mount=${digest}&from=team/secret`, `mount=${digest}`]) {
    await startUpload(mirror.url, 'team/app', { query: `?${mount}` }); // 202: nothing was mounted
    expect((await head(mirror.url, `/v2/team/app/blobs/${digest}`)).status).toBe(404);
  }
  const stolen = { 'Content-Type': holder.mediaType };
  const put = await send(mirror.url, 'PUT', '/v2/team/app/manifests/x', {
    headers: stolen,
    body: holder.bytes,
  });
  expect(errorOf(put)).toMatchObject({ status: 400, code: 'MANIFEST_BLOB_UNKNOWN' });
  for (const peer of [`/fleet/v1/blobs/${digest}`, `/fleet/blobs/${digest}?repository=team/secret`])
    expect((await get(mirror.url, peer)).status).toBe(404);
  expect((await get(mirror.url, `/v2/team/secret/blobs/${digest}`, { from })).sha256).toBe(digest);
});

test('the catalog has hosted and cached names in one order, in pages, across restarts', async () => {
  const upstream = await startFakeUpstream();
  for (const name of ['library/a', 'zoo/z']) upstream.put(name, image, 'latest');
  let mirror = await start({ upstream });
  for (const name of ['library/a', 'zoo/z']) await get(mirror.url, `/v2/${name}/manifests/latest`);
  for (const name of ['team/b', 'team/a', 'tools']) await push(mirror, name);
  const all = ['docker.io/library/a', 'docker.io/zoo/z', 'team/a', 'team/b', 'tools'];
  for (const restart of [false, true]) {
    if (restart) {
      await mirror.close();
      mirror = await start({ upstream, storePath: mirror.storePath });
    }
    for (const n of [1, 2, 3, 5, 100]) {
      const seen: string[] = [];
      let path: string | undefined = `/v2/_catalog?n=${n}`;
      for (let pages = 0; path !== undefined && pages < 10; pages += 1) {
        const page: CallResult = await get(mirror.url, path);
        const { repositories } = JSON.parse(page.body.toString());
        expect(repositories.length).toBeLessThanOrEqual(n);
        seen.push(...repositories);
        path = /<([^>]+)>/.exec(page.headers.get('link') ?? '')?.[1];
      }
      expect(seen).toEqual(all);
    }
    const whole = await get(mirror.url, '/v2/_catalog');
    expect([JSON.parse(whole.body.toString()).repositories, whole.headers.get('link')]).toEqual([
      all,
      undefined,
    ]);
  }
});

test('read_only refuses pushes and deletes with its message, and pulls go on', async () => {
  let mirror = await start();
  await push(mirror);
  await mirror.close();
  const rules = [{ repositories: ['**'], users: ['anonymous'], actions: ['pull', 'push', 'delete'] }];
  mirror = await startTestMirror({
    storePath: mirror.storePath,
    config: { hosted: { ...hosted, read_only: 'moving, back at ten' }, access: { rules } },
  });
  const headers = { 'Content-Type': image.mediaType };
  for (const answer of [
    await send(mirror.url, 'POST', '/v2/team/app/blobs/uploads/'),
    await send(mirror.url, 'PUT', '/v2/team/app/manifests/x', { headers, body: image.bytes }),
    await send(mirror.url, 'DELETE', '/v2/team/app/manifests/latest'),
  ])
    expect(errorOf(answer)).toEqual({ status: 503, code: 'UNAVAILABLE', message: 'moving, back at ten' });
  expect((await get(mirror.url, '/v2/team/app/manifests/latest')).body).toEqual(image.bytes);
});
