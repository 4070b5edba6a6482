/** Tokens and Basic, told by the exact requests that the registry and its realm see. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { type Credentials, StaticCredentials } from '../../../../src/upstream/auth/credential-provider.ts';
import {
  alpine,
  busybox,
  connect,
  failureOf,
  type LocalServer,
  latest,
  manifestDigest,
  read,
  sendJson,
  sendManifest,
  serve,
} from '../rig.ts';

const head = 'GET /v2/library/alpine/manifests/latest';
const tokenLine = 'GET /token?service=registry.test&scope=repository%3Alibrary%2Falpine%3Apull';
const credentials = new StaticCredentials('u', 'p:w');

interface TokenServer extends LocalServer {
  /** Which tokens are good. */
  readonly good: Set<string>;
}

/** Registry and realm on one port; tokens are t1, t2, …; each is good. */
async function serveWithTokens(
  options: {
    readonly answer?: (count: number) => unknown;
    readonly status?: number;
    readonly challenge?: (url: string, request: IncomingMessage) => string;
    readonly issue?: boolean;
  } = {},
): Promise<TokenServer> {
  let issued = 0;
  const good = new Set<string>();
  const server = await serve((request, response) => {
    if (request.url?.startsWith('/token')) {
      issued += 1;
      if (options.issue !== false) good.add(`Bearer t${issued}`);
      sendJson(
        response,
        options.answer?.(issued) ?? { token: `t${issued}`, expires_in: 300 },
        options.status,
      );
    } else if (good.has(request.headers.authorization ?? '')) {
      sendManifest(request, response);
    } else {
      challenge(request, response);
    }
  });
  const challenge = (request: IncomingMessage, response: ServerResponse): void => {
    const usual = `Bearer realm="${server.url}/token",service="registry.test",scope="repository:library/alpine:pull"`;
    const header = options.challenge?.(server.url, request) ?? usual;
    sendJson(response, { errors: [{ code: 'UNAUTHORIZED', message: 'log in' }] }, 401, {
      'www-authenticate': header,
    });
  };
  return Object.assign(server, { good });
}

test('the first request is challenged, the token is kept, and the next repository gets its own first', async () => {
  const server = await serveWithTokens();
  const { registry, recorder } = connect(server.url);
  expect((await registry.manifest(alpine, latest, read)).descriptor.digest).toBe(manifestDigest);
  expect(server.lines).toEqual([head, tokenLine, head]);
  await registry.manifest(alpine, latest, read);
  expect(server.lines.slice(3)).toEqual([head]);
  await registry.manifest(busybox, latest, read);
  expect(server.lines.slice(4)).toEqual([
    'GET /token?service=registry.test&scope=repository%3Alibrary%2Fbusybox%3Apull',
    'GET /v2/library/busybox/manifests/latest',
  ]);
  expect(
    server.seen.filter(({ line }) => line.startsWith('GET /token')).map(s => s.headers.authorization),
  ).toEqual([undefined, undefined]);
  expect(recorder.of('upstreamAnswered').slice(0, 3)).toEqual([
    'upstreamAnswered up manifest GET 401',
    'upstreamAnswered up token GET 200',
    'upstreamAnswered up manifest GET 200',
  ]);
});

test('credentials go to the realm as Basic, and never to the registry beside the token', async () => {
  const server = await serveWithTokens();
  const { registry } = connect(server.url, { credentials });
  await registry.manifest(alpine, latest, read);
  expect(server.seen.map(({ headers }) => headers.authorization)).toEqual([
    undefined,
    `Basic ${Buffer.from('u:p:w').toString('base64')}`,
    'Bearer t1',
  ]);
});

test('a token is fetched anew before it expires, by the clock', async () => {
  const server = await serveWithTokens();
  const { registry, clock } = connect(server.url);
  await registry.manifest(alpine, latest, read);
  clock.advance(289_999);
  await registry.manifest(alpine, latest, read);
  expect(server.lines.slice(3)).toEqual([head]);
  clock.advance(1);
  await registry.manifest(alpine, latest, read);
  expect(server.lines.slice(4)).toEqual([tokenLine, head]);
});

test.each([
  ['expires_in missing', { access_token: 't1' }],
  ['expires_in of nonsense', { token: 't1', expires_in: 'soon' }],
])('a token lives 60 s with %s', async (_name, body) => {
  const server = await serveWithTokens({
    answer: count => ({ ...body, token: undefined, access_token: `t${count}` }),
  });
  const { registry, clock } = connect(server.url);
  await registry.manifest(alpine, latest, read);
  clock.advance(49_999);
  await registry.manifest(alpine, latest, read);
  expect(server.lines).toEqual([head, tokenLine, head, head]);
  clock.advance(1);
  await registry.manifest(alpine, latest, read);
  expect(server.lines.slice(4)).toEqual([tokenLine, head]);
});

test('twenty at once share one token request', async () => {
  const server = await serveWithTokens();
  const { registry } = connect(server.url);
  await Promise.all(Array.from({ length: 20 }, () => registry.manifest(alpine, latest, read)));
  expect(server.lines.filter(line => line === tokenLine)).toHaveLength(1);
  expect(server.lines).toHaveLength(41);
});

test('a caller who leaves does not end the token request that others wait for', async () => {
  const held: ServerResponse[] = [];
  const server: LocalServer = await serve((request, response) => {
    if (request.url?.startsWith('/token')) held.push(response);
    else if (request.headers.authorization === 'Bearer t') sendManifest(request, response);
    else sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${server.url}/token"` });
  });
  const { registry } = connect(server.url);
  const leaving = new AbortController();
  const left = registry.manifest(alpine, latest, { signal: leaving.signal });
  const stays = registry.manifest(alpine, latest, read);
  await server.until(3);
  leaving.abort(new Error('left'));
  await expect(left).rejects.toThrow('left');
  for (const response of held) sendJson(response, { token: 't' });
  expect((await stays).descriptor.digest).toBe(manifestDigest);
  expect(server.lines.filter(line => line.startsWith('GET /token'))).toHaveLength(1);
});

test('a token that was refused is replaced once; refused again, it is denied', async () => {
  const server = await serveWithTokens();
  const { registry } = connect(server.url);
  await registry.manifest(alpine, latest, read);
  server.good.delete('Bearer t1');
  await registry.manifest(alpine, latest, read);
  expect(server.lines.slice(3)).toEqual([head, tokenLine, head]);
  const refusing = await serveWithTokens({ issue: false });
  const refused = connect(refusing.url).registry;
  expect(await failureOf(refused.manifest(alpine, latest, read))).toMatchObject({
    failure: 'denied',
    upstreamStatus: 401,
    code: 'MANIFEST_UNKNOWN',
  });
  expect(refusing.lines).toEqual([head, tokenLine, head]);
});

test('with a fresh token at the first request, one refusal is the last word', async () => {
  const server = await serveWithTokens({
    challenge: (url, request) => {
      const repository = /^\/v2\/(.*)\/manifests/.exec(request.url ?? '')?.[1];
      return `Bearer realm="${url}/token",service="registry.test",scope="repository:${repository}:pull"`;
    },
  });
  const { registry } = connect(server.url);
  await registry.manifest(alpine, latest, read);
  server.good.add = () => server.good;
  expect(await failureOf(registry.manifest(busybox, latest, read))).toMatchObject({ failure: 'denied' });
  expect(server.lines.slice(3)).toEqual([
    'GET /token?service=registry.test&scope=repository%3Alibrary%2Fbusybox%3Apull',
    'GET /v2/library/busybox/manifests/latest',
  ]);
});

test('403 with a kept token is tried once with a fresh one, 403 with a fresh one is denied', async () => {
  let allows = true;
  const server: LocalServer = await serve((request, response) => {
    if (request.url?.startsWith('/token')) sendJson(response, { token: `t${server.seen.length}` });
    else if (request.headers.authorization === undefined) {
      sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${server.url}/token"` });
    } else if (allows) sendManifest(request, response);
    else sendJson(response, {}, 403);
  });
  const { registry } = connect(server.url);
  await registry.manifest(alpine, latest, read);
  allows = false;
  expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({
    failure: 'denied',
    upstreamStatus: 403,
  });
  expect(server.lines.slice(3)).toEqual([
    head,
    'GET /token?scope=repository%3Alibrary%2Falpine%3Apull',
    head,
  ]);
});

test('403 for a token that was fetched for this very request is denied at once', async () => {
  const server: LocalServer = await serve((request, response) => {
    if (request.url?.startsWith('/token')) sendJson(response, { token: 't' });
    else if (request.headers.authorization === undefined) {
      sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${server.url}/token"` });
    } else if (request.url?.includes('alpine')) sendManifest(request, response);
    else sendJson(response, {}, 403);
  });
  const { registry } = connect(server.url);
  await registry.manifest(alpine, latest, read);
  expect(await failureOf(registry.manifest(busybox, latest, read))).toMatchObject({ failure: 'denied' });
  expect(server.lines.slice(3)).toEqual([
    'GET /token?scope=repository%3Alibrary%2Fbusybox%3Apull',
    'GET /v2/library/busybox/manifests/latest',
  ]);
});

test('a scope of the upstream’s own is remembered for its repository', async () => {
  const server = await serveWithTokens({
    challenge: url => `Bearer realm="${url}/token",service="s",scope="repository:mirror/alpine:pull"`,
  });
  const { registry, clock } = connect(server.url);
  await registry.manifest(alpine, latest, read);
  clock.advance(300_000);
  await registry.manifest(alpine, latest, read);
  const own = 'GET /token?service=s&scope=repository%3Amirror%2Falpine%3Apull';
  expect(server.lines).toEqual([head, own, head, own, head]);
});

test('Basic is sent ahead once it was asked for', async () => {
  const server = await serve((request, response) => {
    if (request.headers.authorization === `Basic ${Buffer.from('u:p:w').toString('base64')}`) {
      sendManifest(request, response);
    } else sendJson(response, {}, 401, { 'www-authenticate': 'Basic realm="r"' });
  });
  const { registry } = connect(server.url, { credentials });
  await registry.manifest(alpine, latest, read);
  await registry.manifest(busybox, latest, read);
  expect(server.lines).toEqual([head, head, 'GET /v2/library/busybox/manifests/latest']);
  const anonymous = connect(server.url).registry;
  expect(await failureOf(anonymous.manifest(alpine, latest, read))).toMatchObject({ failure: 'denied' });
  const wrong = connect(server.url, { credentials: new StaticCredentials('u', 'no') }).registry;
  expect(await failureOf(wrong.manifest(alpine, latest, read))).toMatchObject({ failure: 'credentials' });
  expect(server.lines.slice(3)).toEqual([head, head, head, head]);
});

test('a realm elsewhere is not dialled, with credentials or without', async () => {
  const realm = await serve((_request, response) => sendJson(response, { token: 't' }));
  const server = await serveWithTokens({
    challenge: () => `Bearer realm="${realm.urlAt('localhost')}/token"`,
  });
  for (const options of [{ credentials }, {}]) {
    const { registry, recorder } = connect(server.url, options);
    const failure = await failureOf(registry.manifest(alpine, latest, read));
    expect(failure).toMatchObject({ failure: 'blocked', code: 'UNAVAILABLE' });
    expect(failure['message']).toBe(
      `the token realm localhost:${realm.port} is not asked: only realms on 127.0.0.1:${server.port} and in token_hosts are`,
    );
    expect(recorder.of('upstreamAnswered')).toEqual(['upstreamAnswered up manifest GET 401']);
  }
  expect(realm.lines).toEqual([]);
});

test('a realm on the own host with another port is asked, one in token_hosts too', async () => {
  const realm = await serve((_request, response) => sendJson(response, { token: 't1' }));
  for (const host of ['127.0.0.1', 'localhost']) {
    const server = await serveWithTokens({ challenge: () => `Bearer realm="${realm.urlAt(host)}/token"` });
    server.good.add('Bearer t1');
    const { registry } = connect(server.url, { credentials, tokenHosts: ['localhost'] });
    await registry.manifest(alpine, latest, read);
  }
  expect(realm.lines).toHaveLength(2);
});

test.each([
  ['an answer that is no JSON', (response: ServerResponse) => response.end('<html>'), 'status'],
  ['no token in it', (response: ServerResponse) => sendJson(response, { token: '' }), 'status'],
  [
    'a token that is no header value',
    (response: ServerResponse) => sendJson(response, { token: 'a\nb' }),
    'status',
  ],
  ['401', (response: ServerResponse) => sendJson(response, {}, 401), 'denied'],
  ['404', (response: ServerResponse) => sendJson(response, {}, 404), 'status'],
  ['a body over 64 KiB', (response: ServerResponse) => response.end(' '.repeat(65_537)), 'status'],
])('a realm that gives %s fails the request', async (_name, answer, failure) => {
  const server: LocalServer = await serve((request, response) => {
    if (request.url?.startsWith('/token')) answer(response);
    else sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${server.url}/token"` });
  });
  const { registry } = connect(server.url);
  const got = await failureOf(registry.manifest(alpine, latest, read));
  expect(got).toMatchObject({ failure, code: failure === 'denied' ? 'MANIFEST_UNKNOWN' : 'UNAVAILABLE' });
  expect(server.lines).toEqual([head, 'GET /token?scope=repository%3Alibrary%2Falpine%3Apull']);
});

test('a realm that is silent is not asked again for a while, also for other repositories', async () => {
  const server: LocalServer = await serve((request, response) => {
    if (request.url?.startsWith('/token')) return;
    sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${server.url}/token"` });
  });
  const { registry, clock } = connect(server.url);
  const first = failureOf(registry.manifest(alpine, latest, read));
  await server.until(2);
  clock.advance(8000);
  expect(await first).toMatchObject({ failure: 'timeout' });
  expect(await failureOf(registry.manifest(busybox, latest, read))).toMatchObject({ failure: 'timeout' });
  expect(server.lines.filter(line => line.startsWith('GET /token'))).toHaveLength(1);
  expect(registry.health().away).toBe(false);
});

test('errors and log lines hold neither credentials nor tokens nor queries', async () => {
  const server = await serveWithTokens({
    issue: false,
    challenge: url => `Bearer realm="${url}/token?secret=query"`,
  });
  const { registry, recorder } = connect(server.url, {
    credentials: new StaticCredentials('user', 'hunter2'),
  });
  const failure = await failureOf(registry.manifest(alpine, latest, read));
  const told = JSON.stringify([failure, recorder.logged, recorder.events]);
  expect(told).not.toMatch(/hunter2|secret|t1|scope=/);
  expect(told).not.toContain(Buffer.from('user:hunter2').toString('base64'));
});

test('credentials that change are asked for with each request for a token, and with each that carries them', async () => {
  const given: Credentials[] = [1, 2, 3, 4].map(at => ({ authorization: `Basic ${at}`, expiresAt: at }));
  const provider = { get: async () => given.shift() };
  const server: LocalServer = await serve((request, response) => {
    const isBasic = request.url?.includes('busybox');
    if (request.url?.startsWith('/token')) sendJson(response, { token: 't', expires_in: 60 });
    else if (request.headers.authorization === (isBasic ? 'Basic 4' : 'Bearer t'))
      sendManifest(request, response);
    else
      sendJson(response, {}, 401, {
        'www-authenticate': isBasic ? 'Basic realm="r"' : `Bearer realm="${server.url}/token"`,
      });
  });
  const { registry, clock } = connect(server.url, { credentials: provider });
  await registry.manifest(alpine, latest, read);
  clock.advance(60_000);
  await registry.manifest(alpine, latest, read);
  clock.advance(1);
  await registry.manifest(busybox, latest, read);
  const sent = server.seen.map(({ headers }) => headers.authorization);
  expect(sent.filter(value => value?.startsWith('Basic'))).toEqual([
    'Basic 1',
    'Basic 2',
    'Basic 3',
    'Basic 4',
  ]);
});
