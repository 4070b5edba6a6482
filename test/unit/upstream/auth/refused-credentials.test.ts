/** Credentials that stop working, scopes, challenges that give nothing, and registries and realms that redirect. */
import type { ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import {
  basicCredentials,
  type CredentialProvider,
  type Credentials,
  StaticCredentials,
} from '../../../../src/upstream/auth/credential-provider.ts';
import {
  alpine,
  blobDigest,
  busybox,
  connect,
  failureOf,
  type LocalServer,
  latest,
  manifestDigest,
  read,
  sendBlob,
  sendJson,
  sendManifest,
  serve,
} from '../rig.ts';

const head = 'HEAD /v2/library/alpine/manifests/latest';
const tokenLine = 'GET /token?scope=repository%3Alibrary%2Falpine%3Apull';
const good = basicCredentials('u', 'good');
const bad = new StaticCredentials('u', 'bad');

/** alpine is public, busybox is the account's; the realm takes `u:good` alone. */
function serveAccount(refusal = 401): Promise<LocalServer> {
  const local = serve((request, response) => {
    const { authorization } = request.headers;
    const isBusybox = request.url?.includes('busybox') === true;
    if (request.url?.startsWith('/token')) {
      if (authorization !== undefined && authorization !== good.authorization)
        sendJson(response, {}, refusal);
      else sendJson(response, { token: authorization === undefined ? 'anyone' : 'account' });
    } else if (authorization === 'Bearer account' || (authorization === 'Bearer anyone' && !isBusybox)) {
      sendManifest(request, response);
    } else void challenge(response);
  });
  const challenge = async (response: ServerResponse): Promise<void> =>
    sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${(await local).url}/token"` });
  return local;
}

test.each([401, 403])(
  'refused with %i: what is public is had without, what is not is refused and not gone',
  async status => {
    const server = await serveAccount(status);
    const { registry, recorder, clock } = connect(server.url, { credentials: bad });
    expect((await registry.resolve(alpine, latest, read)).descriptor.digest).toBe(manifestDigest);
    const anonymously = [head, tokenLine, head];
    const asked =
      status === 401 ? [head, tokenLine, ...anonymously] : [head, tokenLine, tokenLine, ...anonymously];
    expect(server.lines).toEqual(asked);
    const before = server.lines.length;
    expect(await failureOf(registry.manifest(busybox, latest, read))).toMatchObject({
      failure: 'credentials',
      code: 'MANIFEST_UNKNOWN',
    });
    expect(recorder.of('upstreamCredentials')).toEqual(['upstreamCredentials up false']);
    expect(recorder.logged.filter(line => line.includes('credentials'))).toHaveLength(1);
    expect(server.lines.slice(before)).not.toContain(head);
    const known = server.lines.length;
    await registry.resolve(alpine, latest, read);
    expect(server.lines.slice(known)).toEqual([head]); // not asked with them again within a minute
    clock.advance(60_000);
    await registry.resolve(alpine, latest, read);
    expect(recorder.logged.filter(line => line.includes('credentials'))).toHaveLength(2);
  },
);

test('404 without the credentials says nothing about what they would open', async () => {
  let isFirst = true;
  const challenging: LocalServer = await serve((request, response) => {
    if (request.headers.authorization === undefined && !isFirst) return sendJson(response, {}, 404);
    isFirst = false;
    return sendJson(response, {}, 401, { 'www-authenticate': 'Basic realm="r"' });
  });
  const { registry } = connect(challenging.url, { credentials: bad });
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({ failure: 'credentials' });
  expect(challenging.lines).toEqual([head, head, head, 'GET /v2/library/alpine/manifests/latest']);
});

test('refused credentials are looked for anew at once', async () => {
  const server = await serveAccount();
  const asked: (Credentials | undefined)[] = [];
  let now: Credentials = basicCredentials('u', 'bad');
  const provider: CredentialProvider = {
    get: refused => {
      asked.push(refused);
      if (refused !== undefined) now = good;
      return now;
    },
  };
  const { registry, recorder } = connect(server.url, { credentials: provider });
  await registry.resolve(busybox, latest, read);
  expect(asked).toEqual([undefined, basicCredentials('u', 'bad')]);
  expect(recorder.of('upstreamCredentials')).toEqual(['upstreamCredentials up true']);
});

test('credentials of one repository that is refused are still tried for others', async () => {
  const server: LocalServer = await serve((request, response) => {
    if (request.url?.includes('busybox') && request.headers.authorization) sendManifest(request, response);
    else sendJson(response, {}, 401, { 'www-authenticate': 'Basic realm="r"' });
  });
  const { registry, recorder } = connect(server.url, { credentials: new StaticCredentials('u', 'p') });
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({ failure: 'credentials' });
  await registry.resolve(busybox, latest, read);
  expect(recorder.of('upstreamCredentials')).toEqual([
    'upstreamCredentials up false',
    'upstreamCredentials up true',
  ]);
});

test('a helper’s refresh token is exchanged by POST', async () => {
  let body = '';
  const server: LocalServer = await serve((request, response) => {
    if (request.url?.startsWith('/token')) {
      request.on('data', chunk => {
        body += String(chunk);
      });
      request.on('end', () => sendJson(response, { access_token: 't' }));
    } else if (request.headers.authorization === 'Bearer t') sendManifest(request, response);
    else
      sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${server.url}/token",service="s"` });
  });
  const credentials = { get: () => ({ authorization: 'Basic x', refreshToken: 'r' }) };
  await connect(server.url, { credentials }).registry.resolve(alpine, latest, read);
  expect(server.lines).toEqual([head, 'POST /token', head]);
  expect(server.seen[1]?.headers.authorization).toBeUndefined();
  expect(body).toBe(
    'grant_type=refresh_token&client_id=cistern&service=s&scope=repository%3Alibrary%2Falpine%3Apull&refresh_token=r',
  );
});

test('each scope is a parameter of its own, and only pulling is asked for', async () => {
  const scope =
    'repository:library/alpine:pull,push repository:base/image:* registry:catalog:list repository:x:delete';
  const server: LocalServer = await serve((request, response) => {
    if (request.url?.startsWith('/token')) sendJson(response, { token: 't' });
    else if (request.headers.authorization === 'Bearer t') sendManifest(request, response);
    else
      sendJson(response, {}, 401, {
        'www-authenticate': `Bearer realm="${server.url}/token",scope="${scope}"`,
      });
  });
  await connect(server.url).registry.resolve(alpine, latest, read);
  const asked = `${tokenLine}&scope=repository%3Abase%2Fimage%3Apull`;
  expect(server.lines).toEqual([head, asked, head]);
});

test('a challenge that gives no token is not remembered, and one that gives none any more is dropped', async () => {
  let isOdd = true;
  let isClosed = false;
  const server: LocalServer = await serve((request, response) => {
    if (request.url?.startsWith('/token')) sendJson(response, { token: 't' }, isClosed ? 404 : 200);
    else if (request.url?.startsWith('/odd')) sendJson(response, {}, 404);
    else if (request.headers.authorization === 'Bearer t' || isClosed) sendManifest(request, response);
    else {
      const realm = `${server.url}${isOdd ? '/odd' : '/token'}`;
      sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${realm}"` });
    }
  });
  const { registry, clock } = connect(server.url);
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({ failure: 'status' });
  isOdd = false;
  clock.advance(10_000);
  await registry.resolve(alpine, latest, read);
  expect(server.lines.slice(2)).toEqual([head, tokenLine, head]);
  isClosed = true; // the token server moved, and the registry is open now
  clock.advance(60_000);
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({ failure: 'status' });
  clock.advance(10_000);
  await registry.resolve(alpine, latest, read);
  expect(server.lines.slice(5)).toEqual([tokenLine, head]);
});

test('a realm that redirects on its own host keeps the query, and is not followed elsewhere', async () => {
  for (const status of [307, 308]) {
    const server: LocalServer = await serve((request, response) => {
      if (request.url?.startsWith('/token')) sendJson(response, {}, status, { location: '/auth' });
      else if (request.url?.startsWith('/auth')) sendJson(response, { token: 't' });
      else if (request.headers.authorization === 'Bearer t') sendManifest(request, response);
      else sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${server.url}/token"` });
    });
    await connect(server.url, { credentials: bad }).registry.resolve(alpine, latest, read);
    expect(server.lines).toEqual([head, tokenLine, tokenLine.replace('/token', '/auth'), head]);
    expect(server.seen[2]?.headers.authorization).toBe(basicCredentials('u', 'bad').authorization);
  }
  const other = await serve((_request, response) => sendJson(response, { token: 't' }));
  const leading: LocalServer = await serve((request, response) => {
    if (request.url?.startsWith('/token')) sendJson(response, {}, 307, { location: other.url });
    else sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${leading.url}/token"` });
  });
  const { registry } = connect(leading.url, { credentials: bad });
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({ failure: 'blocked' });
  expect(other.lines).toEqual([]);
});

test('a redirect to another registry is answered with an anonymous token of its realm, kept for the next request', async () => {
  const target: LocalServer = await serve((request, response) => {
    if (request.url?.startsWith('/token')) sendJson(response, { token: 'there' });
    else if (request.headers.authorization !== 'Bearer there') {
      const realm = `${target.urlAt('localhost')}/token`;
      sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${realm}"` });
    } else if (request.url?.includes('/blobs/')) sendBlob(request, response);
    else sendManifest(request, response);
  });
  const server = await serve((request, response) => {
    if (request.headers.authorization !== undefined)
      sendJson(response, {}, 307, {
        location: `${target.urlAt('localhost')}${request.url?.replace('library', 'moved')}`,
      });
    else sendJson(response, {}, 401, { 'www-authenticate': 'Basic realm="r"' });
  });
  const { registry } = connect(server.url, { credentials: new StaticCredentials('u', 'secret') });
  expect((await registry.resolve(alpine, latest, read)).descriptor.digest).toBe(manifestDigest);
  const moved = head.replace('library', 'moved');
  expect(target.lines).toEqual([moved, 'GET /token?scope=repository%3Amoved%2Falpine%3Apull', moved]);
  expect(server.lines).toEqual([head, head]);
  await registry.stat(alpine, blobDigest, read);
  expect(target.lines.slice(3)).toEqual([`HEAD /v2/moved/alpine/blobs/${blobDigest}`]);
  const sent = target.seen.map(({ headers }) => headers.authorization);
  expect(sent).toEqual([undefined, undefined, 'Bearer there', 'Bearer there']);
});

test('another registry that denies its own token denies it, and its realm keeps the rules for realms', async () => {
  const realm = await serve((_request, response) => sendJson(response, { token: 't' }));
  const target: LocalServer = await serve((request, response) => {
    if (request.url?.startsWith('/token')) return sendJson(response, { token: 't' });
    const url = request.url?.includes('busybox') ? realm.url : target.urlAt('localhost');
    return sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${url}/token"` });
  });
  const server = await serve((request, response) =>
    sendJson(response, {}, 307, { location: `${target.urlAt('localhost')}${request.url}` }),
  );
  const { registry } = connect(server.url);
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({ failure: 'denied' });
  expect(await failureOf(registry.resolve(busybox, latest, read))).toMatchObject({ failure: 'blocked' });
  expect(realm.lines).toEqual([]);
});
