/** Connections: which ones are kept, how many there are, which certificates they trust, and when a request is sent twice. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import { expect, onTestFinished, test } from 'vitest';
import { RoundTrip, Transport } from '../../../../src/upstream/transport/transport.ts';
import { CertificateAuthority } from '../../../support/certificates.ts';
import { Recorder } from '../../../support/recorder.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import {
  alpine,
  blobDigest,
  connect,
  failureOf,
  latest,
  manifestDigest,
  never,
  read,
  sendBlob,
  sendJson,
  sendManifest,
  serve,
  toLoopback,
} from '../rig.ts';

const head = 'HEAD /v2/library/alpine/manifests/latest';

test('HEAD keeps its connection, and every request asks for plain bytes', async () => {
  const server = await serve(sendManifest);
  const { registry } = connect(server.url);
  for (let at = 0; at < 4; at += 1) {
    await registry.resolve(alpine, latest, read);
    await turn(); // undici takes a connection back one turn later
  }
  await registry.manifest(alpine, latest, read);
  expect(server.connections).toBe(1);
  expect(server.seen.map(({ headers }) => [headers['accept-encoding'], headers['user-agent']])).toEqual(
    Array(5).fill(['identity', 'cistern/test']),
  );
});

test('bodies in transfer do not keep manifests waiting, and no more of them run than allowed', async () => {
  const server = await serve((request, response) => {
    if (request.url?.includes('/blobs/')) response.writeHead(200, { 'content-length': 10 }).write('x');
    else sendManifest(request, response);
  });
  const { registry } = connect(server.url, { maxTransfers: 2 });
  const source = registry.blobSource(alpine, blobDigest);
  const leaving = new AbortController();
  await Promise.all([source.open(0, { signal: leaving.signal }), source.open(0, { signal: leaving.signal })]);
  const third = source.open(0, { signal: never });
  await registry.resolve(alpine, latest, read);
  expect(server.lines.filter(line => line.includes('/blobs/'))).toHaveLength(2);
  leaving.abort();
  await third;
  expect(server.lines.filter(line => line.includes('/blobs/'))).toHaveLength(3);
});

const background = { isBackground: true, watch: () => () => {} };

test('background transfers use an eighth of the connections, and their deadline starts after the queue', async () => {
  const server = await serve((_request, response) => {
    response.writeHead(200, { 'content-length': 10 }).write('x');
  });
  const { registry, clock } = connect(server.url, { maxTransfers: 8 });
  const source = registry.blobSource(alpine, blobDigest);
  const first = new AbortController();
  await source.open(0, { signal: first.signal, priority: background });
  const left = new AbortController();
  const leaving = source.open(0, { signal: left.signal, priority: background });
  const second = source.open(0, { signal: never, priority: background });
  await source.open(0, { signal: never });
  expect(server.seen).toHaveLength(2);
  left.abort(new Error('left'));
  await expect(leaving).rejects.toThrow('left');
  clock.advance(60_000);
  first.abort();
  await second;
  expect(server.seen).toHaveLength(3);
});

test('an own CA is trusted, another is not, and `insecure` trusts any', async () => {
  const authority = new CertificateAuthority(await tempDir());
  const server = await serve(sendManifest, authority.issue(['DNS:registry.test']));
  const url = server.urlAt('registry.test');
  const lookup = toLoopback();
  const trusting = connect(url, { lookup, ca: authority.caPem }).registry;
  expect((await trusting.resolve(alpine, latest, read)).descriptor.digest).toBe(manifestDigest);
  const careless = connect(url, { lookup, insecure: true }).registry;
  expect((await careless.resolve(alpine, latest, read)).descriptor.digest).toBe(manifestDigest);
  const strict = connect(url, { lookup }).registry;
  const failure = await failureOf(strict.resolve(alpine, latest, read));
  expect(failure).toMatchObject({ failure: 'unreachable', code: 'UNAVAILABLE' });
  expect(failure['message']).toContain('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  const wrongName = connect(server.urlAt('other.test'), { lookup, ca: authority.caPem }).registry;
  expect(await failureOf(wrongName.resolve(alpine, latest, read))).toMatchObject({ failure: 'unreachable' });
  expect(server.lines).toEqual([head, head]);
});

test('credentials do not follow a redirect from https to http', async () => {
  const authority = new CertificateAuthority(await tempDir());
  const plain = await serve(sendBlob);
  const server = await serve((_request, response) => {
    response.writeHead(307, { location: plain.url }).end();
  }, authority.issue());
  const { registry } = connect(server.url, { ca: authority.caPem });
  expect(await failureOf(registry.blobSource(alpine, blobDigest).open(0, { signal: never }))).toMatchObject({
    failure: 'blocked',
    message: `a redirect from https to http://127.0.0.1:${plain.port} is not followed`,
  });
  expect(plain.connections).toBe(0);
});

test.each([4, 6, 'any'] as const)('names are looked up in the configured family: %s', async ip => {
  const server = await serve(sendManifest);
  const families: number[] = [];
  const lookup = async (_hostname: string, family: number) => {
    families.push(family);
    return [{ address: '127.0.0.1', family: 4 }];
  };
  await connect(server.urlAt('registry.test'), { ip, lookup }).registry.resolve(alpine, latest, read);
  expect(families).toEqual([ip === 'any' ? 0 : ip]);
});

test('an upstream under a path is asked under that path', async () => {
  const server = await serve(sendManifest);
  await connect(`${server.url}/proxy/hub/`).registry.resolve(alpine, latest, read);
  expect(server.lines).toEqual(['HEAD /proxy/hub/v2/library/alpine/manifests/latest']);
});

test.each([502, 503, 504])('%i is asked again once, after 200 ms', async status => {
  const server = await serve((request, response, count) => {
    if (count === 0) sendJson(response, {}, status);
    else sendManifest(request, response);
  });
  const { registry, clock } = connect(server.url);
  const asked = registry.manifest(alpine, latest, read);
  await clock.pass(200);
  await asked;
  expect(server.lines).toEqual(Array(2).fill('GET /v2/library/alpine/manifests/latest'));
});

test('503 twice is the answer; 500, 429 and 404 are not asked again', async () => {
  const statuses = [503, 503, 500, 429, 404];
  const server = await serve((_request, response, count) => sendJson(response, {}, statuses[count]));
  const { registry, clock } = connect(server.url);
  const first = failureOf(registry.manifest(alpine, latest, read));
  await clock.pass(200);
  expect(await first).toMatchObject({ failure: 'status', upstreamStatus: 503, code: 'UNAVAILABLE' });
  for (const [failure, count] of [
    ['status', 3],
    ['limited', 4],
    ['gone', 5],
  ] as const) {
    clock.advance(10_000);
    expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({ failure });
    expect(server.seen).toHaveLength(count);
  }
});

/** A server that treats each connection as told: how many answers until it resets. */
async function serveThenReset(answers: number[]): Promise<{ url: string; requests: () => number }> {
  let requests = 0;
  const sockets = new Set<Socket>();
  const server = createServer(socket => {
    let left = answers.shift() ?? 99;
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', () => {
      requests += 1;
      if (left === 0) return socket.resetAndDestroy();
      left -= 1;
      const headers = `content-type: application/vnd.oci.image.manifest.v1+json\r\ncontent-length: 20`;
      return socket.write(
        `HTTP/1.1 200 OK\r\n${headers}\r\ndocker-content-digest: ${manifestDigest}\r\n\r\n`,
      );
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise(resolve => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    requests: () => requests,
  };
}

test('a reset on a kept connection is asked again once, on a new one', async () => {
  const server = await serveThenReset([1, 1]);
  const { registry, clock } = connect(server.url);
  await registry.resolve(alpine, latest, read);
  await turn();
  const asked = registry.resolve(alpine, latest, read);
  await clock.pass(200);
  expect((await asked).descriptor.digest).toBe(manifestDigest);
  expect(server.requests()).toBe(3);
});

test('a reset on a new connection is the answer', async () => {
  const server = await serveThenReset([0]);
  const { registry } = connect(server.url);
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({ failure: 'unreachable' });
  expect(server.requests()).toBe(1);
});

test('one deadline covers a token, redirects and retries', async () => {
  const server: Awaited<ReturnType<typeof serve>> = await serve((request, response, count) => {
    if (request.url?.startsWith('/token')) sendJson(response, { token: 't' });
    else if (request.headers.authorization === undefined) {
      sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${server.url}/token"` });
    } else if (count === 2) sendJson(response, {}, 503);
  });
  const { registry, clock } = connect(server.url);
  const asked = failureOf(registry.manifest(alpine, latest, read));
  await clock.pass(200);
  await server.until(4);
  clock.advance(7799);
  expect(registry.health().away).toBe(false);
  clock.advance(1);
  expect(await asked).toEqual({
    failure: 'timeout',
    upstreamStatus: undefined,
    code: 'UNAVAILABLE',
    retryAfterMs: undefined,
    message: 'up did not answer within 8000 ms',
  });
});

test('an abort before the connection stands is answered at once, with the caller’s own reason', async () => {
  const names: string[] = [];
  const lookup = (name: string): Promise<never> => {
    names.push(name);
    return new Promise(() => undefined);
  };
  const { registry } = connect('http://registry.test', { lookup });
  const leaving = new AbortController();
  const asked = registry.manifest(alpine, latest, { signal: leaving.signal });
  while (names.length === 0) await turn();
  leaving.abort(new Error('left'));
  await expect(asked).rejects.toThrow('left');
  await expect(registry.manifest(alpine, latest, { signal: leaving.signal })).rejects.toThrow('left');
});

test('closing ends what runs, and nothing is asked afterwards', async () => {
  const server = await serve(() => undefined);
  const { registry } = connect(server.url);
  const asked = failureOf(registry.manifest(alpine, latest, read));
  await server.until(1);
  await registry.close();
  await registry.close();
  expect(await asked).toMatchObject({ failure: 'unreachable' });
  expect(await failureOf(registry.stat(alpine, blobDigest, read))).toMatchObject({ failure: 'unreachable' });
  expect(server.seen).toHaveLength(1);
});

const far = new URL('https://registry.example/v2/');

function measured(...samples: readonly (readonly [url: URL, ms: number])[]): number | undefined {
  const roundTrip = new RoundTrip();
  for (const [url, ms] of samples) roundTrip.add(url, ms);
  return roundTrip.shortestMs;
}

test('the distance is the shortest time of the last answers, and not known after one', () => {
  expect(measured([far, 20])).toBeUndefined();
  expect(measured([far, 90], [far, 20], [far, 40])).toBe(20);
  const others = Array.from({ length: 8 }, () => [far, 30] as const);
  expect(measured([far, 3], ...others)).toBe(30);
});

test.each(['http://127.0.0.1:5000/v2/', 'http://localhost:5000/', 'http://[::1]:5000/'])(
  '%s is no distance, however long it takes to answer',
  url => {
    expect(measured([far, 20], [new URL(url), 500])).toBe(0);
  },
);

test('a client certificate is shown to the upstream itself, and to no store that it redirects to', async () => {
  const authority = new CertificateAuthority(await tempDir());
  const { cert, key } = authority.issue();
  const asking = { ...authority.issue(), ca: authority.caPem, requestCert: true };
  const shown: (string | undefined)[] = [];
  const note = (socket: unknown): void => {
    shown.push(socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.subject : undefined);
  };
  const store = await serve(
    (request, response) => {
      note(request.socket);
      sendBlob(request, response);
    },
    { ...asking, rejectUnauthorized: false },
  );
  const server = await serve((request, response) => {
    note(request.socket);
    if (request.url?.includes('/blobs/')) sendJson(response, {}, 307, { location: store.urlAt('localhost') });
    else sendManifest(request, response);
  }, asking);
  const trust = { ca: authority.caPem };
  const { registry } = connect(server.url, { ...trust, clientCertificate: { certificate: cert, key } });
  await registry.resolve(alpine, latest, read);
  await registry.blobSource(alpine, blobDigest).open(0, { signal: never });
  expect(shown).toEqual(['CN=Test leaf', 'CN=Test leaf', undefined]);
  const without = connect(server.url, trust).registry;
  expect(await failureOf(without.resolve(alpine, latest, read))).toMatchObject({ failure: 'unreachable' });
});

test('an answer, or a failure, that comes after more than 2 s is a line in the log, without the query', async () => {
  const clock = { ms: 0 };
  let takesMs = 0;
  const server = await serve((request, response) => {
    clock.ms += takesMs;
    if (request.url?.startsWith('/cut') === true) request.socket.destroy();
    else sendManifest(request, response);
  });
  const recorder = new Recorder();
  const { observer, logger } = recorder;
  const transport = new Transport({
    key: 'up',
    dial: {
      url: new URL(server.url),
      clientCertificate: undefined,
      ca: undefined,
      insecure: false,
      ip: 'any',
      connectMs: 3000,
      lookup: undefined,
    },
    proxy: undefined,
    userAgent: 'cistern/test',
    observer,
    logger,
    clock: () => clock.ms,
  });
  onTestFinished(() => transport.close());
  const send = async (path: string, ms: number) => {
    takesMs = ms;
    const url = new URL(path, server.url);
    const hop = {
      url,
      method: 'GET',
      kind: 'manifest',
      headers: {},
      pool: 'control',
      signal: never,
    } as const;
    await transport.send(hop).then(
      ({ body }) => body.dump(),
      () => undefined,
    );
  };
  await send('/at-once', 2000);
  await send('/late?signature=secret', 2001);
  await send('/cut', 5000);
  const fields = { upstream: 'up', host: new URL(server.url).host, method: 'GET' };
  const rest = { kind: 'manifest', status: 200, ms: 2001 };
  expect(recorder.logged).toEqual([
    `info slow upstream ${JSON.stringify({ ...fields, path: '/late', ...rest })}`,
    `info slow upstream ${JSON.stringify({ ...fields, path: '/cut', kind: 'manifest', ms: 5000 })}`,
  ]);
});
