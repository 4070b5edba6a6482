/**
 * Layers that are here already are not uploaded: mounts from hosted and mirrored repositories, and adoption by the HEAD of a pusher. What
 * the caller may not have is an upload like any other, never a 401. The upstream sees exactly what is listed.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { expect, test } from 'vitest';
import { hexOf } from '../../src/oci/digest.ts';
import { get, head } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { askToken } from '../support/login-rig.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { blobLine } from '../support/request-log.ts';
import { filesUnder, tempDir } from '../support/temp-dir.ts';
import { pushBlob, send } from '../support/upload-client.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const base = patternBlob('base layer', 100_000);
const own = patternBlob('own layer', 50_000);
const image = buildImage({ layers: [base] });
const hosted = { repositories: ['team/**', 'secret/**'] };

function basic(name: string): Record<string, string> {
  return { Authorization: `Basic ${Buffer.from(`${name}:password of ${name}`).toString('base64')}` };
}

/** Users alice and bob. */
async function accessOf(...rules: readonly object[]): Promise<Record<string, unknown>> {
  const htpasswd = join(await tempDir(), 'htpasswd');
  const users = ['alice', 'bob'];
  const lines = await Promise.all(users.map(async name => `${name}:${await hash(`password of ${name}`, 4)}`));
  await writeFile(htpasswd, `${lines.join('\n')}\n`);
  return { htpasswd, rules };
}

interface Rig {
  readonly upstream: FakeUpstream;
  readonly mirror: TestMirror;
}

async function start(config: Record<string, unknown> = {}, auth?: 'private'): Promise<Rig> {
  const upstream = await startFakeUpstream(
    auth === undefined
      ? {}
      : {
          auth: {
            kind: 'token',
            anonymous: [],
            accounts: { u: { password: 'p', repositories: ['library/base', 'library/other'] } },
          },
        },
  );
  upstream.put('library/base', image, 'latest');
  const mirror = await startTestMirror({
    upstream,
    ...(auth && { hub: { username: 'u', password: 'p' } }),
    config: { hosted, ...config },
  });
  await mirror.settled();
  return { upstream, mirror };
}

async function pullBase({ mirror, upstream }: Rig, headers: Record<string, string> = {}): Promise<void> {
  const path = `/v2/library/base/blobs/${base.digest}`;
  await get(mirror.url, '/v2/library/base/manifests/latest', { headers });
  expect((await get(mirror.url, path, { headers })).sha256).toBe(base.digest);
  // The last byte goes out before the file has its name.
  const file = `blobs-v1/sha256/${hexOf(base.digest).slice(0, 2)}/${hexOf(base.digest)}`;
  await expect.poll(() => filesUnder(mirror.storePath)).toContain(file);
  upstream.log.clear();
}

function mount(url: string, name: string, query: string, headers: Record<string, string> = {}) {
  return send(url, 'POST', `/v2/${name}/blobs/uploads/?mount=${query}`, { headers });
}

async function statusOf(url: string, name: string, headers: Record<string, string> = {}): Promise<number> {
  return (await get(url, `/v2/${name}/blobs/${base.digest}`, { headers })).status;
}

test('from a hosted repository, named or not: 201 without an upload', async () => {
  const { mirror, upstream } = await start();
  expect(await pushBlob(mirror.url, 'team/app', own)).toBe(201);
  for (const [name, from] of [
    ['team/b', '&from=team/app'],
    ['team/c', ''],
  ] as const) {
    const { status, headers, body } = await mount(mirror.url, name, own.digest + from);
    expect([status, headers.get('location'), headers.get('docker-content-digest'), body.length]).toEqual([
      201,
      `/v2/${name}/blobs/${own.digest}`,
      own.digest,
      0,
    ]);
    expect((await get(mirror.url, `/v2/${name}/blobs/${own.digest}`)).sha256).toBe(own.digest);
  }
  expect(await mirror.metric('cistern_received_bytes_total')).toBe(own.size);
  expect(upstream.lines()).toEqual([]);
});

test('from a mirrored repository that was pulled: 201, and the upstream is asked nothing', async () => {
  const rig = await start();
  await pullBase(rig);
  for (const [index, from] of ['library/base', 'docker.io/library/base', 'base'].entries()) {
    const { status } = await mount(rig.mirror.url, `team/a${index}`, `${base.digest}&from=${from}`);
    expect([from, status]).toEqual([from, 201]);
  }
  expect((await mount(rig.mirror.url, 'team/any', base.digest)).status).toBe(201); // public there: the caller may read it
  expect(await statusOf(rig.mirror.url, 'team/a0')).toBe(200);
  expect(rig.upstream.lines()).toEqual([]);
});

test('what is not there to mount, or makes no sense, is an upload: 202, never 401', async () => {
  const { mirror, upstream } = await start();
  expect(await pushBlob(mirror.url, 'team/app', own)).toBe(201);
  const nowhere = `sha256:${'0'.repeat(64)}`;
  for (const query of [
    `${nowhere}&from=team/app`,
    `${nowhere}&from=library/base`,
    nowhere,
    `${own.digest}&from=team/other`,
    `${own.digest}&from=quay.io/x/y`,
    `${own.digest}&from=..%2f..%2fetc`,
    `${own.digest}&from=NOT/valid`,
    'nonsense&from=team/app',
    '',
  ]) {
    const { status, headers } = await mount(mirror.url, 'team/new', query);
    expect([query, status]).toEqual([query, 202]);
    expect(headers.get('location')).toMatch(/^\/v2\/team\/new\/blobs\/uploads\/[a-f0-9]{32}$/);
  }
  expect(upstream.lines()).toEqual([]);
});

test('a mirrored blob without a link there costs one HEAD; an upstream that does not answer does not hold the push up', async () => {
  const { mirror, upstream } = await start();
  expect(await pushBlob(mirror.url, 'team/app', base)).toBe(201); // held, by a push alone
  expect((await mount(mirror.url, 'team/a', `${base.digest}&from=library/base`)).status).toBe(201);
  expect((await mount(mirror.url, 'team/b', `${base.digest}&from=library/base`)).status).toBe(201);
  expect(upstream.lines()).toEqual([blobLine(base.digest).replace('GET', 'HEAD')]);
  expect((await mount(mirror.url, 'team/c', `${own.digest}&from=library/base`)).status).toBe(202);
  expect(await pushBlob(mirror.url, 'team/app', own)).toBe(201);
  upstream.putBlob('library/slow', own.digest, own);
  const gate = upstream.holdHeaders({ digest: own.digest }, { times: 'always' });
  const { status } = await mount(mirror.url, 'team/c', `${own.digest}&from=library/slow`);
  expect([status, gate.arrivals]).toEqual([202, 1]); // answered while the upstream still waits
  gate.release();
});

test('a repository that the caller may not read is an upload, whether it has the blob or not', async () => {
  const access = await accessOf(
    { repositories: ['secret/**'], users: ['alice'], actions: ['pull', 'push'] },
    { repositories: ['team/**', 'docker.io/**'], users: ['*'], actions: ['pull', 'push'] },
  );
  const { mirror } = await start({ access });
  const { url } = mirror;
  const start1 = await send(url, 'POST', `/v2/secret/app/blobs/uploads/?digest=${base.digest}`, {
    headers: basic('alice'),
    body: base.slice(0, base.size),
  });
  expect(start1.status).toBe(201);
  for (const from of ['&from=secret/app', '&from=secret/none', ''])
    expect((await mount(url, 'team/app', base.digest + from, basic('bob'))).status).toBe(202);
  expect(await statusOf(url, 'team/app', basic('bob'))).toBe(404);
  const path = `/v2/team/app/blobs/${base.digest}`;
  expect((await head(url, path, { headers: basic('bob') })).status).toBe(404);
  expect((await mount(url, 'team/app', `${base.digest}&from=secret/app`, basic('alice'))).status).toBe(201);
  expect((await mount(url, 'secret/app', base.digest, basic('bob'))).status).toBe(403);
});

test('a token mounts from those repositories alone that it is for, named or not', async () => {
  const { mirror } = await start({
    access: await accessOf({ repositories: ['**'], users: ['alice'], actions: ['pull', 'push'] }),
  });
  const { url } = mirror;
  const path = `/v2/secret/app/blobs/uploads/?digest=${base.digest}`;
  const body = base.slice(0, base.size);
  expect((await send(url, 'POST', path, { headers: basic('alice'), body })).status).toBe(201);
  const mounted = async (scopes: readonly string[], from = '') => {
    const { token } = await askToken(url, 'alice', { scopes, password: 'password of alice' });
    return (await mount(url, 'team/app', base.digest + from, { Authorization: `Bearer ${token}` })).status;
  };
  const own = 'repository:team/app:pull,push';
  expect([await mounted([own]), await mounted([own], '&from=secret/app')]).toEqual([202, 202]);
  const both = [own, 'repository:secret/app:pull'];
  expect(await mounted(both)).toBe(201);
  expect(await mounted(both, '&from=secret/app')).toBe(201);
});

test('adoption: a pusher’s HEAD links what came through the mirror, and only what is public there', async () => {
  const rig = await start();
  const { mirror, upstream } = rig;
  const path = `/v2/team/app/blobs/${base.digest}`;
  expect((await head(mirror.url, path)).status).toBe(404);
  await pullBase(rig);
  expect(await statusOf(mirror.url, 'team/app')).toBe(404); // a GET adopts nothing
  const { status, headers } = await head(mirror.url, path);
  expect([status, headers.get('content-length')]).toEqual([200, String(base.size)]);
  expect(await statusOf(mirror.url, 'team/app')).toBe(200);
  expect(await statusOf(mirror.url, 'team/other')).toBe(404);
  await mirror.close();
  const again = await startTestMirror({ storePath: mirror.storePath, upstream, config: { hosted } });
  expect(await statusOf(again.url, 'team/app')).toBe(200);
  expect(upstream.lines()).toEqual([]);
});

test('adoption is for pushers, and never of a private upstream’s blobs', async () => {
  const access = { rules: [{ repositories: ['**'], users: ['anonymous'], actions: ['pull'] }] };
  const reader = await start({ access });
  await pullBase(reader);
  expect((await head(reader.mirror.url, `/v2/team/app/blobs/${base.digest}`)).status).toBe(404);
  const all = await accessOf({ repositories: ['**'], users: ['alice'], actions: ['pull', 'push'] });
  const secret = await start({ access: all }, 'private');
  const headers = basic('alice');
  await pullBase(secret, headers);
  expect((await head(secret.mirror.url, `/v2/team/app/blobs/${base.digest}`, { headers })).status).toBe(404);
  // Named, it is a mount: this caller may read it there.
  const { status } = await mount(secret.mirror.url, 'team/app', `${base.digest}&from=library/base`, headers);
  expect(status).toBe(201);
});

test('an image over a base that was pulled: the bytes received are those of its own layer', async () => {
  const rig = await start();
  const { mirror } = rig;
  await pullBase(rig);
  const built = buildImage({ layers: [base, own] });
  for (const { descriptor, content } of built.blobs) {
    const held = await head(mirror.url, `/v2/team/app/blobs/${descriptor.digest}`);
    if (held.status !== 200) expect(await pushBlob(mirror.url, 'team/app', content)).toBe(201);
  }
  const put = await send(mirror.url, 'PUT', '/v2/team/app/manifests/1', {
    body: built.bytes,
    headers: { 'Content-Type': built.mediaType },
  });
  expect(put.status).toBe(201);
  const ownBytes = own.size + (built.config?.descriptor.size ?? 0);
  expect(await mirror.metric('cistern_received_bytes_total')).toBe(ownBytes);
  expect(rig.upstream.lines()).toEqual([]);
});
