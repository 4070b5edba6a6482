/** Logins as clients do them: the challenge of `/v2/`, tokens by GET and POST, scopes, expiry, uploads that outlive their token, throttling. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { askToken, htpasswdLine, postToken, startLoginRig } from '../support/login-rig.ts';
import { spawnTestMirror, startTestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { finish, send, startUpload } from '../support/upload-client.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { basic } from '../support/users.ts';

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

describe('the challenge', () => {
  const challenge = async (url: string, headers: Record<string, string> = {}, path = '/v2/') =>
    (await get(url, path, { headers })).headers.get('www-authenticate');

  test('names the realm by public_url', async () => {
    const { mirror } = await startLoginRig({ http: { public_url: 'https://registry.lan/base' } });
    const realm = 'Bearer realm="https://registry.lan/base/token",service="cistern"';
    expect(await challenge(mirror.url, { 'X-Forwarded-Host': 'evil.lan', Host: 'other.lan' })).toBe(realm);
  });

  test('else by what a trusted proxy says, else by Host; never by what another client claims', async () => {
    const forwarded = { 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'registry.lan:8443, inner' };
    const { mirror } = await startLoginRig();
    expect(await challenge(mirror.url, { ...forwarded, Host: 'mirror.lan:5000' })).toBe(
      'Bearer realm="http://mirror.lan:5000/token",service="cistern"',
    );
    const { mirror: behind } = await startLoginRig({ http: { trusted_proxies: ['127.0.0.1'] } });
    expect(await challenge(behind.url, forwarded)).toBe(
      'Bearer realm="https://registry.lan:8443/token",service="cistern"',
    );
    expect(await challenge(behind.url, { 'X-Forwarded-Host': 'a"b', Host: 'mirror.lan' })).toBe(
      'Bearer realm="http://mirror.lan/token",service="cistern"',
    );
  });

  test('is there with users alone; Basic and tokens of any caller pass the ping', async () => {
    const { mirror } = await startLoginRig();
    expect((await get(mirror.url, '/v2/')).status).toBe(401);
    expect((await get(mirror.url, '/v2/', { headers: { Authorization: basic('alice') } })).status).toBe(200);
    const { token } = await askToken(mirror.url, undefined);
    expect((await get(mirror.url, '/v2/', { headers: bearer(token) })).status).toBe(200);
    const open = await startTestMirror({ upstream: await startFakeUpstream() });
    expect([(await get(open.url, '/v2/')).status, (await get(open.url, '/token')).status]).toEqual([
      200, 404,
    ]);
  });

  test('of a denied request has its scope and its ns, which says whose the names in scopes are', async () => {
    const { mirror } = await startLoginRig({ access: { rules: [] } });
    expect(await challenge(mirror.url, {}, '/v2/library/x/manifests/1?ns=docker.io')).toBe(
      `Bearer realm="${mirror.url}/token?ns=docker.io",service="cistern",scope="repository:library/x:pull",error="insufficient_scope"`,
    );
  });
});

describe('a token', () => {
  test('comes by GET and by POST, with every field that clients read', async () => {
    const { mirror } = await startLoginRig({ access: { token_ttl: '90s' } });
    const scope = 'repository:team/app:pull,push';
    const got = await askToken(mirror.url, 'alice', { scopes: [scope] });
    const posted = await postToken(mirror.url, {
      grant_type: 'password',
      username: 'alice',
      password: "alice's",
      scope,
      offline_token: 'true',
    });
    for (const { status, body, token } of [got, posted]) {
      expect(status).toBe(200);
      expect(body).toEqual({
        token,
        access_token: token,
        expires_in: 90,
        issued_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      });
      await startUpload(mirror.url, 'team/app', { headers: bearer(token) });
    }
    const { status } = await stat(join(mirror.storePath, 'auth-v1/token-keys.json')).then(found => ({
      status: found.mode & 0o777,
    }));
    expect(status).toBe(0o600);
  });

  test('covers several scopes in one parameter and in several, also with ports; and narrows to them', async () => {
    const { mirror } = await startLoginRig();
    const host = new URL(mirror.url).host;
    const scopes = ['repository:team/a:pull repository:team/b:pull,push', `repository:${host}/team/c:pull`];
    const { token } = await askToken(mirror.url, 'alice', { scopes });
    const status = async (method: string, path: string) =>
      (await send(mirror.url, method, path, { headers: bearer(token) })).status;
    expect(await status('GET', '/v2/team/a/tags/list')).toBe(404);
    expect(await status('POST', '/v2/team/b/blobs/uploads/')).toBe(202);
    expect(await status('POST', '/v2/team/a/blobs/uploads/')).toBe(401);
    expect(await status('GET', '/v2/team/c/tags/list')).toBe(401);
    const other = await send(mirror.url, 'POST', '/v2/team/a/blobs/uploads/', { headers: bearer(token) });
    expect(other.headers.get('www-authenticate')).toContain(
      'scope="repository:team/a:pull,push",error="insufficient_scope"',
    );
  });

  test('is given to credentials of Docker Hub for what anonymous callers may have, without a log line or a count', async () => {
    const { mirror, upstream } = await startLoginRig();
    const image = buildImage();
    upstream.put('library/alpine', image, 'latest');
    const scopes = ['repository:library/alpine:pull'];
    for (const user of [undefined, 'hubuser', 'hubuser']) {
      const { status, token } = await askToken(mirror.url, user, { scopes, password: 'hub-password' });
      expect(status).toBe(200);
      const path = '/v2/library/alpine/manifests/latest';
      expect((await get(mirror.url, path, { headers: bearer(token) })).status).toBe(200);
    }
    const form = {
      grant_type: 'password',
      username: 'hubuser',
      password: 'hub-password',
      scope: scopes[0] ?? '',
    };
    expect((await postToken(mirror.url, form)).status).toBe(200);
    expect(mirror.log.filter(({ msg }) => msg === 'login failed')).toEqual([]);
    expect(await mirror.metric('cistern_logins_total{source="none",result="wrong"}')).toBe(0);
  });

  test('is refused to wrong credentials without a scope (docker login), and for what anonymous callers may not have', async () => {
    const { mirror } = await startLoginRig();
    for (const scopes of [[], ['repository:team/app:pull'], ['repository:library/x:pull,push']]) {
      const wrong = await askToken(mirror.url, 'alice', { scopes, password: 'wrong' });
      expect([wrong.status, wrong.body['errors']]).toMatchObject([
        401,
        [{ code: 'UNAUTHORIZED', message: 'wrong user name or password' }],
      ]);
    }
    const posted = { grant_type: 'password', username: 'mallory', password: 'x' };
    expect((await postToken(mirror.url, posted)).status).toBe(401);
    expect((await postToken(mirror.url, { grant_type: 'refresh_token', refresh_token: 'x' })).status).toBe(
      400,
    );
    expect((await request(mirror.url, { method: 'PUT', path: '/token' }).done).status).toBe(405);
    expect(mirror.log.filter(({ msg }) => msg === 'login failed')).toMatchObject([
      { reason: 'wrong', source: 'htpasswd', client: '127.0.0.1', user: 'alice' },
      { reason: 'wrong', source: 'htpasswd', user: 'alice' },
      { reason: 'wrong', source: 'htpasswd', user: 'alice' },
      { reason: 'wrong', source: 'none', client: '127.0.0.1' },
    ]);
    expect(await mirror.metric('cistern_logins_total{source="htpasswd",result="wrong"}')).toBe(3);
  });

  test('survives a restart, and expires', async () => {
    let nowMs = Date.now();
    const { mirror, htpasswd } = await startLoginRig({ now: () => nowMs });
    const { token } = await askToken(mirror.url, 'alice');
    await mirror.close();
    const again = await startTestMirror({
      upstream: await startFakeUpstream(),
      storePath: mirror.storePath,
      config: { access: { htpasswd } },
      now: () => nowMs,
    });
    const ping = () => get(again.url, '/v2/', { headers: bearer(token) });
    expect((await ping()).status).toBe(200);
    nowMs += 300_000;
    const expired = await ping();
    expect([expired.status, expired.headers.get('www-authenticate')]).toEqual([
      401,
      expect.stringContaining('error="invalid_token"'),
    ]);
  });
});

test('an upload goes on with the expired token of its user as long as rules allow it, and nothing else does', async () => {
  let nowMs = Date.now();
  const { mirror } = await startLoginRig({ now: () => nowMs });
  const blob = patternBlob('layer', 3000);
  const scopes = ['repository:team/app:pull,push'];
  const { token } = await askToken(mirror.url, 'alice', { scopes });
  const { token: other } = await askToken(mirror.url, 'bob', { scopes });
  const [headers, bobs] = [bearer(token), bearer(other)];
  const { location } = await startUpload(mirror.url, 'team/app', { headers });
  nowMs += 3_600_000;
  const body = blob.slice(0, 1000);
  expect((await send(mirror.url, 'PATCH', location, { headers: bobs, body })).status).toBe(401);
  expect((await send(mirror.url, 'PATCH', location, { headers, body })).status).toBe(202);
  expect((await send(mirror.url, 'PATCH', location, { headers, body: blob.slice(1000, 3000) })).status).toBe(
    202,
  );
  expect((await send(mirror.url, 'GET', location, { headers })).status).toBe(204);
  expect((await finish(mirror.url, location, blob.digest, { headers })).status).toBe(201);
  expect((await send(mirror.url, 'GET', location, { headers })).status).toBe(401);
  for (const [method, path] of [
    ['HEAD', `/v2/team/app/blobs/${blob.digest}`],
    ['POST', '/v2/team/app/blobs/uploads/'],
    ['PUT', '/v2/team/app/manifests/1'],
  ] as const)
    expect((await send(mirror.url, method, path, { headers })).status, method).toBe(401);
});

test('an upload ends with the token of a user who was removed; one with another password goes on', async () => {
  let nowMs = Date.now();
  const { mirror, htpasswd } = await startLoginRig({ now: () => nowMs });
  const scopes = ['repository:team/app:pull,push'];
  const uploads: { headers: Record<string, string>; location: string }[] = [];
  for (const user of ['alice', 'bob']) {
    const headers = bearer((await askToken(mirror.url, user, { scopes })).token);
    uploads.push({ headers, location: (await startUpload(mirror.url, 'team/app', { headers })).location });
  }
  nowMs += 3_600_000;
  const patch = () =>
    Promise.all(
      uploads.map(async ({ headers, location }) => {
        const body = Buffer.from('x');
        return (await send(mirror.url, 'PATCH', location, { headers, body })).status;
      }),
    );
  expect(await patch()).toEqual([202, 202]);
  await writeFile(htpasswd, htpasswdLine('bob', 'another'));
  await expect.poll(patch, { timeout: 5000 }).toEqual([401, 202]);
});

test('a token of a user who was removed is good until it expires, and gets no other one', async () => {
  let nowMs = Date.now();
  const { mirror, htpasswd } = await startLoginRig({ now: () => nowMs });
  const scopes = ['repository:team/app:pull'];
  const headers = bearer((await askToken(mirror.url, 'alice', { scopes })).token);
  await writeFile(htpasswd, htpasswdLine('bob'));
  await expect.poll(async () => (await askToken(mirror.url, 'alice')).status, { timeout: 5000 }).toBe(401);
  const status = async () => (await get(mirror.url, '/v2/team/app/tags/list', { headers })).status;
  expect(await status()).toBe(404);
  nowMs += 300_000;
  expect(await status()).toBe(401);
});

test('a right that is taken away ends an upload with 403', async () => {
  const folder = await tempDir();
  await writeFile(join(folder, 'users'), htpasswdLine('alice'));
  const access = { htpasswd: join(folder, 'users'), token_ttl: '1d' };
  const mirror = await spawnTestMirror({
    upstream: await startFakeUpstream(),
    config: { hosted: { repositories: ['team/**'] }, access },
  });
  const { token } = await askToken(mirror.url, 'alice', { scopes: ['repository:team/app:pull,push'] });
  const headers = bearer(token);
  const { location } = await startUpload(mirror.url, 'team/app', { headers });
  const patch = async () =>
    (await send(mirror.url, 'PATCH', location, { headers, body: Buffer.from('x') })).status;
  expect(await patch()).toBe(202);
  const config = parse(await readFile(mirror.file, 'utf8'));
  config.access.rules = [{ repositories: ['**'], users: ['alice'], actions: ['pull'] }];
  await writeFile(mirror.file, stringify(config));
  mirror.process.signal('SIGHUP');
  await mirror.process.waitForMessage('configuration reloaded');
  expect(await patch()).toBe(403);
});

test('five wrong passwords of one name throttle it for its address: still 401, which says when; known logins go on', async () => {
  let nowMs = Date.now();
  const { mirror } = await startLoginRig({ now: () => nowMs });
  const login = (name: string, password?: string, from = '127.0.0.1') =>
    request(mirror.url, { path: '/token', headers: { Authorization: basic(name, password) }, from }).done;
  expect((await login('alice')).status).toBe(200);
  for (let n = 0; n < 5; n += 1) expect((await login('alice', `wrong ${n}`)).status).toBe(401);
  const throttled = await login('alice', 'wrong');
  expect([throttled.status, throttled.body.toString()]).toEqual([
    401,
    expect.stringContaining('try again in 10 s'),
  ]);
  expect([(await login('alice')).status, (await login('bob')).status]).toEqual([200, 200]);
  expect((await login('alice', 'wrong', '127.0.0.2')).body.toString()).toContain(
    'wrong user name or password',
  );
  nowMs += 10_000;
  expect((await login('alice', 'wrong')).body.toString()).toContain('wrong user name or password');
  expect(await mirror.metric('cistern_logins_total{source="none",result="throttled"}')).toBe(1);
});

test('a changed htpasswd counts within a second, and its unusable lines are named at the start', async () => {
  const { mirror, htpasswd } = await startLoginRig();
  expect(mirror.log.filter(({ msg }) => msg === 'htpasswd read')).toMatchObject([{ users: 2 }]);
  await writeFile(
    htpasswd,
    `${await readFile(htpasswd, 'utf8')}${htpasswdLine('carol')}dora:rqXexS6ZhobKA\n`,
  );
  await expect.poll(async () => (await askToken(mirror.url, 'carol')).status, { timeout: 5000 }).toBe(200);
  expect(mirror.log.filter(({ msg }) => msg === 'ignoring a line of htpasswd')).toMatchObject([
    { line: 4, message: expect.stringContaining('DES') },
  ]);
});

test('planted passwords, tokens and cookies are in no log line, metric or answer', async () => {
  const { mirror } = await startLoginRig();
  const secrets = ['planted-password', 'planted-cookie', 'planted-token', 'planted-form', 'planted-query'];
  const answers: string[] = [];
  const { token } = await askToken(mirror.url, 'alice', { scopes: ['repository:team/app:pull'] });
  const parts = token.split('.').slice(1);
  const ask = async (path: string, headers: Record<string, string>, method = 'GET', body?: string) => {
    const answer = await request(mirror.url, {
      method,
      path,
      headers: { Cookie: 'cistern_session=planted-cookie', ...headers },
      ...(body !== undefined && { body }),
    }).done;
    answers.push(`${[...answer.headers].join()} ${answer.body.toString()}`);
  };
  const form = 'grant_type=password&username=alice&password=planted-form';
  const formHeaders = {
    'Content-Type': 'application/x-www-form-urlencoded',
    'Content-Length': `${form.length}`,
  };
  for (const path of [
    '/v2/',
    '/v2/team/app/tags/list',
    '/token',
    '/api/v1/stats',
    '/token?password=planted-query',
  ]) {
    await ask(path, { Authorization: basic('alice', 'planted-password') });
    await ask(path, { Authorization: basic('planted-password', 'x') });
    await ask(path, { Authorization: 'Bearer planted-token' });
    await ask(path, { Authorization: 'Nonsense planted-token' });
    if (path !== '/token') await ask(path, bearer(token));
  }
  await ask('/token', formHeaders, 'POST', form);
  const metrics = (await get(mirror.url, '/metrics')).body.toString();
  const everything = [JSON.stringify(mirror.log), metrics, ...answers].join('\n');
  expect(mirror.log.length).toBeGreaterThan(20);
  for (const secret of [...secrets, ...parts, "alice's"]) expect(everything, secret).not.toContain(secret);
});
