/** Logins by hostile clients: forged tokens, scopes without end, odd names, other users' uploads. Each is refused as if nothing were there. */
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { CallResult } from '../support/client.ts';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { askToken, postToken, startLoginRig } from '../support/login-rig.ts';
import { send, startUpload } from '../support/upload-client.ts';
import { basic } from '../support/users.ts';

const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = (part = '') => JSON.parse(Buffer.from(part, 'base64url').toString());
const hmac = (text: string, secret: string | Buffer, hash = 'sha256') =>
  createHmac(hash, secret).update(text).digest('base64url');

test('no forged token gets in: other algorithms, keys, headers, claims, mirrors; all refusals are the same', async () => {
  const { mirror } = await startLoginRig();
  const { mirror: other } = await startLoginRig();
  const { token } = await askToken(mirror.url, 'alice', { scopes: ['repository:team/app:pull'] });
  const { token: foreign } = await askToken(other.url, 'alice');
  const [header = '', payload = '', signature = ''] = token.split('.');
  const { kid } = decode(header);
  const stored = JSON.parse(await readFile(join(mirror.storePath, 'auth-v1/token-keys.json'), 'utf8'));
  const secret = Buffer.from(String(stored.keys[0].secret), 'base64url');
  const [none, admin] = [
    encode({ alg: 'none', typ: 'JWT', kid }),
    encode({ ...decode(payload), sub: 'bob' }),
  ];
  const signed = (head: unknown, key: string | Buffer, hash?: string) => {
    const text = `${encode(head)}.${payload}`;
    return `${text}.${hmac(text, key, hash)}`;
  };
  const forged = [
    foreign,
    `${none}.${payload}.`,
    `${none}.${payload}`,
    `${none}.${payload}.${signature}`,
    `${header}.${admin}.${signature}`,
    `${header}.${payload}.`,
    `${header}.${payload}.${signature.slice(0, -1)}`,
    `${header}.${payload}.${signature}=`,
    `${header}.${payload}.${signature}.x`,
    `${token}.${token}`,
    signed({ alg: 'HS256', kid }, ''),
    signed({ alg: 'HS256', kid }, kid),
    signed({ alg: 'HS512', kid }, secret, 'sha512'),
    ...['__proto__', 'toString', '../../../dev/null', '', null, 0, [kid], { kid }, undefined].map(id =>
      signed({ alg: 'HS256', kid: id }, ''),
    ),
    '..',
    'eyJ',
    'a'.repeat(14_001),
    'a'.repeat(14_000),
    'a b',
    'ä',
    '%00',
  ];
  const ask = (value: string) => get(mirror.url, '/v2/team/app/tags/list', { headers: bearer(value) });
  expect((await ask(token)).status).toBe(404);
  const answers = new Set<string>();
  for (const value of forged) answers.add(shape(await ask(value)));
  expect([...answers]).toEqual([expect.stringMatching(/^401 .*invalid_token.*not of this registry/)]);
});

test('scopes without end, and odd ones, give a token that works for what it names', async () => {
  const { mirror } = await startLoginRig();
  const many = Array.from({ length: 2000 }, (_, n) => `repository:t/${n}:pull`);
  const odd = ['  ', ':::', 'repository::', 'repository:team/app:', 'repository:ä/ü:pull', 'x:team/app:pull'];
  for (const scope of [
    ['repository:team/app:pull', ...many].join(' '),
    ['repository:team/app:pull', ...odd].join('   '),
    `repository:team/app:${Array.from({ length: 3000 }, (_, n) => `a${n}`).join(',')} repository:team/app:pull`,
    `repository:${'ü'.repeat(4000)}:pull repository:team/app:pull`,
    [
      'repository:team/app:pull',
      ...Array.from({ length: 23 }, (_, n) => `repository:${'"'.repeat(160)}${n}:pull`),
    ].join(' '),
  ]) {
    const form = { grant_type: 'password', username: 'alice', password: "alice's", scope };
    const { status, token } = await postToken(mirror.url, form);
    expect(status, scope.slice(0, 60)).toBe(200);
    const ping = await get(mirror.url, '/v2/', { headers: bearer(token) });
    expect(ping.status, scope.slice(0, 60)).toBe(200);
  }
});

/** All that a client sees, but for what differs in any two answers, and for the names in `hide`. */
function shape({ status, headers, body }: CallResult, ...hide: readonly string[]): string {
  const kept = [...headers].filter(([name]) => name !== 'date' && name !== 'x-request-id');
  return hide.reduce(
    (text, name) => text.replaceAll(name, 'NAME'),
    `${status} ${JSON.stringify(kept)} ${body}`,
  );
}

test('who has no right gets the same answer, to the last byte, whether the repository and the blob exist or not', async () => {
  const rules = [
    { repositories: ['team/secret', 'team/absent'], users: ['alice'], actions: ['pull', 'push', 'delete'] },
    { repositories: ['team/own'], users: ['bob'], actions: ['pull', 'push'] },
  ];
  const { mirror, upstream } = await startLoginRig({ access: { rules } });
  const blob = patternBlob('secret', 1000);
  const headers = { Authorization: basic('alice') };
  const pushed = { headers, body: blob.slice(0, blob.size) };
  const path = `/v2/team/secret/blobs/uploads/?digest=${blob.digest}`;
  expect((await send(mirror.url, 'POST', path, pushed)).status).toBe(201);
  const scopes = [
    'repository:team/own:pull,push',
    'repository:team/secret:pull,push',
    'repository:team/absent:pull,push',
  ];
  const callers: Record<string, Record<string, string>> = {
    anonymous: {},
    bob: { Authorization: basic('bob') },
    'bob with a token': bearer((await askToken(mirror.url, 'bob', { scopes })).token),
    'alice with a narrow token': bearer(
      (await askToken(mirror.url, 'alice', { scopes: ['repository:team/own:pull'] })).token,
    ),
    'a wrong password': { Authorization: basic('bob', 'wrong') },
    'a wrong token': bearer('x.y.z'),
  };
  let asked = 0; // each from another address, because wrong passwords are throttled
  const ask = (method: string, path: string, headers: Record<string, string>) => {
    asked += 1;
    return request(mirror.url, { method, path, headers, from: `127.0.1.${asked % 250}` }).done;
  };
  for (const [who, headers] of Object.entries(callers)) {
    for (const [method, path] of [
      ['GET', 'manifests/latest'],
      ['HEAD', 'manifests/latest'],
      ['GET', `manifests/${blob.digest}`],
      ['GET', `blobs/${blob.digest}`],
      ['HEAD', `blobs/${blob.digest}`],
      ['GET', 'tags/list'],
      ['GET', `referrers/${blob.digest}`],
      ['POST', 'blobs/uploads/'],
      ['PATCH', 'blobs/uploads/x'],
      ['DELETE', 'manifests/latest'],
      ['DELETE', `blobs/${blob.digest}`],
    ] as const) {
      const there = await ask(method, `/v2/team/secret/${path}`, headers);
      const absent = await ask(method, `/v2/team/absent/${path}`, headers);
      expect([401, 403], who).toContain(there.status);
      expect(shape(there, 'team/secret'), `${who} ${method} ${path}`).toBe(shape(absent, 'team/absent'));
    }
    expect((await ask('GET', '/v2/_catalog', headers)).body.toString()).not.toContain('secret');
  }
  const other = patternBlob('nowhere', 1000).digest;
  for (const from of ['team/secret', 'team/absent', 'docker.io/library/x', ''])
    for (const digest of [blob.digest, other]) {
      const path = `/v2/team/own/blobs/uploads/?mount=${digest}&from=${from}`;
      const { status, headers } = await send(mirror.url, 'POST', path, { headers: callers['bob'] ?? {} });
      expect([status, [...headers.keys()].sort().includes('docker-content-digest')]).toEqual([202, false]);
    }
  expect(upstream.lines()).toEqual([]);
});

test('an upload is its user’s alone: another one finds none, cannot end it, and not from another repository', async () => {
  const { mirror } = await startLoginRig();
  const { location } = await startUpload(mirror.url, 'team/app', {
    headers: { Authorization: basic('alice') },
  });
  const moved = location.replace('team/app', 'team/other');
  const made = location.replace(/[0-9a-f]{32}/, 'f'.repeat(32));
  const body = Buffer.from('x');
  for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
    const query = method === 'PUT' ? `?digest=sha256:${'0'.repeat(64)}` : '';
    const ask = async (path: string, user: string) => {
      const headers = { Authorization: basic(user) };
      const { status, body: text } = await send(mirror.url, method, path + query, {
        headers,
        ...(method !== 'GET' && { body }),
      });
      return `${status} ${text}`;
    };
    const missing = await ask(made, 'bob');
    expect(missing).toMatch(/^404 .*BLOB_UPLOAD_UNKNOWN/);
    expect([await ask(location, 'bob'), await ask(moved, 'alice')]).toEqual([missing, missing]);
    expect((await send(mirror.url, method, location + query, {})).status).toBe(401);
  }
  expect(
    (await send(mirror.url, 'GET', location, { headers: { Authorization: basic('alice') } })).status,
  ).toBe(204);
});

test('odd names and passwords are wrong ones: a colon, controls, 10 kB, other case; from is not what a client claims', async () => {
  const rules = [{ repositories: ['team/**'], users: ['alice'], from: ['10.0.0.0/8'], actions: ['pull'] }];
  const { mirror } = await startLoginRig({ access: { rules } });
  const raw = (text: string) => ({ Authorization: `Basic ${Buffer.from(text).toString('base64')}` });
  for (const text of [
    "Alice:alice's",
    "alice :alice's",
    "alice\n:alice's",
    'alice',
    ':',
    ":alice's",
    "alice\0:alice's",
    `alice:${'x'.repeat(1000)}`,
  ])
    expect((await get(mirror.url, '/token', { headers: raw(text) })).status, JSON.stringify(text)).toBe(401);
  const huge = await get(mirror.url, '/token', { headers: raw(`${'a'.repeat(10_000)}:x`) });
  expect(huge.status).toBe(401);
  const headers = {
    ...raw("alice:alice's"),
    'X-Forwarded-For': '10.1.2.3',
    'X-Real-IP': '10.1.2.3',
    Forwarded: 'for=10.1.2.3',
  };
  expect((await get(mirror.url, '/v2/team/app/tags/list', { headers })).status).toBe(403);
});
