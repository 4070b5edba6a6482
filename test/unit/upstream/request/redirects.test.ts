/** Redirects: what is followed, what goes along, and what is never dialled. */
import { expect, test } from 'vitest';
import { StaticCredentials } from '../../../../src/upstream/auth/credential-provider.ts';
import { resolveRedirect, selectHeaders } from '../../../../src/upstream/request/redirects.ts';
import type { Lookup } from '../../../../src/upstream/transport/dial.ts';
import {
  alpine,
  blobBytes,
  blobDigest,
  collect,
  connect,
  failureOf,
  type LocalServer,
  latest,
  never,
  read,
  sendBlob,
  sendJson,
  sendManifest,
  serve,
  toLoopback,
} from '../rig.ts';

const blobPath = `/v2/library/alpine/blobs/${blobDigest}`;
const authorization = `Basic ${Buffer.from('u:p').toString('base64')}`;

function redirectTo(location: () => string, status = 307): Promise<LocalServer> {
  return serve((_request, response) => {
    response.writeHead(status, { location: location(), 'content-length': 0 });
    response.end();
  });
}

test('a blob is read from where the registry sends us, with the range and without the credentials', async () => {
  const store = await serve(sendBlob);
  const server = await serve((request, response) => {
    if (request.headers.authorization !== authorization) {
      sendJson(response, {}, 401, { 'www-authenticate': 'Basic realm="r"' });
    } else {
      response.writeHead(307, { location: `${store.url}/signed?expires=${server.seen.length}` });
      response.end();
    }
  });
  const { registry } = connect(server.url, { credentials: new StaticCredentials('u', 'p') });
  const source = registry.blobSource(alpine, blobDigest);
  const whole = await source.open(0, { signal: never });
  expect(whole).toMatchObject({ start: 0, size: 1000 });
  expect(await collect(whole.stream)).toEqual(blobBytes);
  const rest = await source.open(400, { signal: never });
  expect(rest).toMatchObject({ start: 400, size: 1000 });
  expect(await collect(rest.stream)).toEqual(blobBytes.subarray(400));
  const part = await source.open(400, { signal: never, end: 500 });
  expect(await collect(part.stream)).toEqual(blobBytes.subarray(400, 500));
  // each opening asks the registry, so that the signature is a fresh one
  expect(server.lines).toEqual(Array.from({ length: 4 }, () => `GET ${blobPath}`));
  expect(server.seen.map(({ headers }) => headers.authorization)).toEqual([
    undefined,
    ...Array(3).fill(authorization),
  ]);
  expect(store.lines).toEqual(['GET /signed?expires=2', 'GET /signed?expires=3', 'GET /signed?expires=4']);
  expect(store.seen.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=400-', 'bytes=400-499']);
  expect(store.seen.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined, undefined]);
});

test('a redirect within the own host and port keeps the credentials', async () => {
  const server: LocalServer = await serve((request, response) => {
    if (request.headers.authorization !== authorization) {
      sendJson(response, {}, 401, { 'www-authenticate': 'Basic realm="r"' });
    } else if (request.url?.startsWith('/store')) sendBlob(request, response);
    else response.writeHead(302, { location: '/store/1' }).end();
  });
  const { registry } = connect(server.url, { credentials: new StaticCredentials('u', 'p') });
  const opened = await registry.blobSource(alpine, blobDigest).open(0, { signal: never });
  expect(await collect(opened.stream)).toEqual(blobBytes);
  expect(server.lines).toEqual([`GET ${blobPath}`, `GET ${blobPath}`, 'GET /store/1']);
  expect(server.seen[2]?.headers.authorization).toBe(authorization);
});

test('five redirects are followed, a sixth is not', async () => {
  const server: LocalServer = await serve((request, response, count) => {
    const step = Number(/^\/step(\d)/.exec(request.url ?? '')?.[1] ?? 0);
    if (step === 5 && !isEndless) sendManifest(request, response);
    else response.writeHead(307, { location: `/step${step + 1}?${count}` }).end();
  });
  let isEndless = false;
  const { registry } = connect(server.url);
  await registry.resolve(alpine, latest, read);
  expect(server.seen).toHaveLength(6);
  isEndless = true;
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({
    failure: 'blocked',
    message: `127.0.0.1:${server.port} leads through more than 5 redirects`,
  });
  expect(server.seen).toHaveLength(12);
});

test.each([
  ['an address', (store: LocalServer) => store.url, []],
  ['a name', (store: LocalServer) => store.urlAt('store.test'), ['store.test']],
  ['the own name with another port', (store: LocalServer) => store.urlAt('registry.test'), ['registry.test']],
  ['an IPv4-mapped address', (store: LocalServer) => `http://[::ffff:127.0.0.1]:${store.port}`, []],
  ['an address in disguise', (store: LocalServer) => `http://0x7f.1:${store.port}`, []],
  ['the metadata service', () => 'http://169.254.169.254/latest', []],
  ['the metadata service of IPv6', () => 'http://[fd00:ec2::254]/latest', []],
])('a redirect inside by %s is not dialled', async (_name, location, lookedUp) => {
  const store = await serve(sendBlob);
  const server = await redirectTo(() => `${location(store)}/x?signature=s`);
  const names: string[] = [];
  const { registry, recorder } = connect(server.urlAt('registry.test'), { lookup: toLoopback(names) });
  const failure = await failureOf(registry.blobSource(alpine, blobDigest).open(0, { signal: never }));
  expect(failure).toMatchObject({ failure: 'blocked', code: 'BLOB_UNKNOWN' });
  expect(failure['message']).toMatch(/^\S+(?: \(.*\))? is (loopback|link-local) and is not dialled$/);
  expect(names).toEqual(['registry.test', ...lookedUp]);
  expect(store.connections).toBe(0);
  expect(recorder.of('upstreamAnswered')).toEqual(['upstreamAnswered up blob GET 307']);
  expect(recorder.logged.join()).not.toContain('signature');
});

test('the address that was checked is the one that is dialled: each connection looks up once', async () => {
  const store = await serve((request, response) => {
    response.shouldKeepAlive = false;
    sendBlob(request, response);
  });
  const server = await redirectTo(() => store.urlAt('store.test'));
  let asked = 0;
  const rebinding: Lookup = async hostname => {
    if (hostname !== 'store.test') return [{ address: '127.0.0.1', family: 4 }];
    asked += 1;
    return [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ];
  };
  const { registry } = connect(server.urlAt('registry.test'), { lookup: rebinding });
  for (const expected of [1, 2]) {
    const failure = await failureOf(registry.blobSource(alpine, blobDigest).open(0, { signal: never }));
    expect(failure).toMatchObject({ failure: 'blocked' });
    expect(asked).toBe(expected);
  }
  expect(store.connections).toBe(0);
});

test('an upstream on loopback may redirect there, but not to the metadata service', async () => {
  const store = await serve(sendBlob);
  const inside = await redirectTo(() => store.urlAt('localhost'));
  const opened = await connect(inside.url).registry.blobSource(alpine, blobDigest).open(0, { signal: never });
  expect(await collect(opened.stream)).toEqual(blobBytes);
  const metadata = await redirectTo(() => 'http://169.254.169.254/');
  const failure = await failureOf(
    connect(metadata.url).registry.blobSource(alpine, blobDigest).open(0, { signal: never }),
  );
  expect(failure).toMatchObject({ failure: 'blocked' });
});

test.each([
  ['without a Location', undefined],
  ['with a Location that is no URL', 'http://'],
  ['to another scheme', 'ftp://127.0.0.1/'],
])('a redirect %s is refused', async (_name, location) => {
  const server = await serve((_request, response) => {
    response.writeHead(307, location === undefined ? {} : { location });
    response.end();
  });
  const { registry } = connect(server.url);
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({ failure: 'blocked' });
});

test.each([
  ['a redirect', 307, { location: 'ftp://127.0.0.1/' }],
  ['a realm', 401, { 'www-authenticate': 'Bearer realm="http://elsewhere.test/token"' }],
])('%s that is refused does not keep a connection, however long its body', async (_name, status, headers) => {
  const closed: Promise<unknown>[] = [];
  const server = await serve((_request, response) => {
    closed.push(new Promise(resolve => response.on('close', resolve)));
    response.writeHead(status, headers).write(Buffer.alloc(1024 * 1024));
  });
  const { registry } = connect(server.url);
  expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({ failure: 'blocked' });
  expect(closed).toHaveLength(1);
  await Promise.all(closed);
});

test('no step leads from https to http, and the message has no query', () => {
  const from = new URL('https://registry.test/v2/');
  expect(() => resolveRedirect(from, 'http://store.test/x?signature=s')).toThrow(
    'a redirect from https to http://store.test is not followed',
  );
  expect(resolveRedirect(from, '//store.test/x').href).toBe('https://store.test/x');
  expect(resolveRedirect(new URL('http://a.test'), 'https://u:p@b.test/').href).toBe('https://b.test/');
});

test('Authorization and Cookie stay on the same host and port', () => {
  const headers = { authorization: 'Bearer t', cookie: 'c', range: 'bytes=1-', accept: '*/*' };
  const own = new URL('https://registry.test');
  expect(selectHeaders(new URL('https://registry.test:443/other'), own, headers)).toEqual(headers);
  const rest = { range: 'bytes=1-', accept: '*/*' };
  for (const target of ['https://registry.test:8443', 'http://registry.test', 'https://a.registry.test']) {
    expect(selectHeaders(new URL(target), own, headers)).toEqual(rest);
  }
});

test('401 and 403 of the store are not the registry’s word', async () => {
  for (const status of [401, 403]) {
    const store = await serve((_request, response) =>
      sendJson(response, {}, status, { 'www-authenticate': 'Basic realm="store"' }),
    );
    const server = await redirectTo(() => store.url);
    const { registry } = connect(server.url, { credentials: new StaticCredentials('u', 'p') });
    const failure = await failureOf(registry.blobSource(alpine, blobDigest).open(0, { signal: never }));
    expect(failure).toMatchObject({ failure: 'status', upstreamStatus: status, code: 'BLOB_UNKNOWN' });
    expect(store.seen).toHaveLength(1);
  }
});

test('a store that was silent is not waited for again by other blobs, the registry stays up', async () => {
  const store = await serve(() => undefined);
  const server = await redirectTo(() => store.url);
  const { registry, clock, recorder } = connect(server.url);
  const first = failureOf(registry.blobSource(alpine, blobDigest).open(0, { signal: never }));
  await store.until(1);
  clock.advance(8000);
  expect(await first).toMatchObject({ failure: 'timeout' });
  const other = registry.blobSource(alpine, blobDigest);
  clock.advance(9999);
  expect(await failureOf(other.open(0, { signal: never }))).toMatchObject({ failure: 'timeout' });
  expect(store.seen).toHaveLength(1);
  expect(recorder.of('breakerOpen')).toEqual([]);
});
