/** The breaker by itself with a clock, and what operations see of it. */
import { expect, test } from 'vitest';
import { Breaker } from '../../../../src/upstream/health/breaker.ts';
import {
  alpine,
  blobDigest,
  busybox,
  connect,
  failureOf,
  latest,
  ManualClock,
  manifestDigest,
  never,
  read,
  refusedPort,
  sendJson,
  sendManifest,
  serve,
} from '../rig.ts';

const ping = 'GET /v2/';

function build(answers: (number | undefined)[] = []): {
  breaker: Breaker;
  clock: ManualClock;
  told: string[];
} {
  const clock = new ManualClock();
  const told: string[] = [];
  const breaker = new Breaker({
    timers: clock,
    probe: async () => {
      told.push('probe');
      return answers.shift();
    },
    onOpen: why => told.push(`open ${why}`),
    onClose: () => told.push('close'),
  });
  return { breaker, clock, told };
}

const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

test.each([['silent'], ['connection']] as const)('opens at once: %s', trouble => {
  const { breaker, told } = build();
  breaker.failed(trouble, 'manifest');
  expect(breaker.isOpen).toBe(true);
  expect(told).toEqual([`open ${trouble}`, 'probe']);
});

test('five times 5xx to one kind of question open it only when the API root fails too', async () => {
  const { breaker, clock, told } = build([401, 503, 200]);
  const fail = (kind: 'manifest' | 'blob', times: number): void => {
    for (let at = 0; at < times; at += 1) breaker.failed('status', kind);
  };
  fail('manifest', 4);
  fail('blob', 4);
  expect(told).toEqual([]);
  fail('blob', 1);
  await settled();
  expect([breaker.isOpen, told]).toEqual([false, ['probe']]);
  fail('manifest', 5);
  await settled();
  expect([breaker.isOpen, told]).toEqual([true, ['probe', 'probe', 'open status']]);
  clock.advance(1000);
  await settled();
  expect([breaker.isOpen, told.slice(3)]).toEqual([false, ['probe', 'close']]);
});

test('501 is an answer, and no trouble of the host', async () => {
  const { breaker, told } = build([501]);
  breaker.failed('silent', 'manifest');
  await settled();
  expect(told).toEqual(['open silent', 'probe', 'close']);
});

test('an answer below 500 in between starts the count of 5xx again', () => {
  const { breaker } = build();
  for (let at = 0; at < 4; at += 1) breaker.failed('status', 'manifest');
  breaker.answered(503, 'manifest');
  expect(breaker.isOpen).toBe(false);
  breaker.answered(404, 'manifest');
  breaker.failed('status', 'manifest');
  expect(breaker.isOpen).toBe(false);
});

test('probes go at once, then after 1, 2, 4, 8, 16, 30 and 30 s, until an answer below 500', async () => {
  const { breaker, clock, told } = build([
    undefined,
    undefined,
    500,
    503,
    undefined,
    502,
    undefined,
    undefined,
    401,
  ]);
  breaker.failed('silent', 'manifest');
  for (const delayMs of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]) {
    await settled();
    expect(clock.delays).toEqual([delayMs]);
    clock.advance(delayMs);
  }
  await settled();
  expect(breaker.isOpen).toBe(false);
  expect(told).toEqual(['open silent', ...Array(9).fill('probe'), 'close']);
  expect(clock.delays).toEqual([]);
});

test('an answer to any request closes it and ends the probes', async () => {
  const { breaker, clock, told } = build();
  breaker.failed('silent', 'manifest');
  await settled();
  breaker.answered(429, 'manifest');
  expect(told).toEqual(['open silent', 'probe', 'close']);
  expect(clock.delays).toEqual([]);
});

test('a probe of an earlier opening has no successors', async () => {
  const clock = new ManualClock();
  const waiting: ((status: number | undefined) => void)[] = [];
  const probe = (): Promise<number | undefined> => new Promise(resolve => waiting.push(resolve));
  const breaker = new Breaker({ timers: clock, probe, onOpen: () => undefined, onClose: () => undefined });
  breaker.failed('silent', 'manifest');
  breaker.answered(200, 'manifest');
  breaker.failed('silent', 'manifest');
  waiting[0]?.(undefined);
  await settled();
  expect(clock.delays).toEqual([]);
  waiting[1]?.(undefined);
  await settled();
  expect(clock.delays).toEqual([1000]);
  breaker.close();
  expect(clock.delays).toEqual([]);
});

test('one silent operation opens it: others fail at once and ask nothing, the probe brings it back', async () => {
  let isSilent = true;
  const server = await serve((request, response) => {
    if (isSilent) return;
    if (request.url === '/v2/') sendJson(response, {}, 401);
    else sendManifest(request, response);
  });
  const { registry, clock, recorder } = connect(server.url);
  const first = failureOf(registry.manifest(alpine, latest, read));
  await server.until(1);
  clock.advance(8000);
  expect(await first).toMatchObject({ failure: 'timeout', code: 'UNAVAILABLE' });
  expect(registry.health().away).toBe(true);
  await server.until(2);
  expect(server.lines).toEqual(['GET /v2/library/alpine/manifests/latest', ping]);
  expect(await failureOf(registry.manifest(busybox, latest, read))).toMatchObject({
    failure: 'breaker',
    code: 'UNAVAILABLE',
  });
  expect(await failureOf(registry.stat(alpine, blobDigest, read))).toMatchObject({
    failure: 'breaker',
    code: 'BLOB_UNKNOWN',
  });
  expect(server.seen).toHaveLength(2);
  isSilent = false;
  await clock.pass(8000); // the first probe's own deadline
  await clock.pass(1000);
  await server.until(3);
  while (registry.health().away) await settled();
  await registry.manifest(busybox, latest, read);
  expect(server.lines.slice(2)).toEqual([ping, 'GET /v2/library/busybox/manifests/latest']);
  expect(recorder.events.filter(event => /^(upstreamUp|breakerOpen)/.test(event))).toEqual([
    'breakerOpen up true',
    'upstreamUp up false',
    'breakerOpen up false',
    'upstreamUp up true',
  ]);
});

test('what waits for the same silent host does not wait longer than the first', async () => {
  const server = await serve(() => undefined);
  const { registry, clock } = connect(server.url);
  const first = failureOf(registry.manifest(alpine, latest, read));
  await server.until(1);
  clock.advance(5000);
  const second = failureOf(registry.blobSource(alpine, blobDigest).open(0, { signal: never }));
  await server.until(2);
  clock.advance(3000);
  expect(await first).toMatchObject({ failure: 'timeout' });
  expect(await second).toMatchObject({ failure: 'breaker', code: 'BLOB_UNKNOWN' });
});

test('a host that answers others is not called away by one slow answer', async () => {
  const server = await serve((request, response) => {
    if (request.url?.includes('busybox')) sendManifest(request, response);
  });
  const { registry, clock } = connect(server.url);
  const slow = failureOf(registry.manifest(alpine, latest, read));
  await server.until(1);
  await registry.manifest(busybox, latest, read);
  clock.advance(8000);
  expect(await slow).toMatchObject({ failure: 'timeout' });
  expect(registry.health().away).toBe(false);
});

test('a refused connection opens it, and only probes dial after that', async () => {
  const { registry, recorder } = connect(`http://127.0.0.1:${await refusedPort()}`);
  expect(registry.health().away).toBe(false);
  expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({
    failure: 'unreachable',
    code: 'UNAVAILABLE',
  });
  expect(registry.health().away).toBe(true);
  expect(await failureOf(registry.tags(alpine, read))).toMatchObject({ failure: 'breaker' });
  await recorder.until('upstreamAnswered', 2);
  expect(recorder.of('upstreamAnswered')).toEqual([
    'upstreamAnswered up manifest GET undefined',
    'upstreamAnswered up ping GET undefined',
  ]);
});

test('a name that is gone from DNS counts like a refused connection', async () => {
  const lookup = (): Promise<never> =>
    Promise.reject(Object.assign(new Error('getaddrinfo ENOTFOUND registry.test'), { code: 'ENOTFOUND' }));
  const { registry } = connect('http://registry.test', { lookup });
  expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({
    failure: 'unreachable',
    message: 'registry.test:80 cannot be reached: getaddrinfo ENOTFOUND registry.test',
  });
  expect(registry.health().away).toBe(true);
});

test.each([401, 404, 429, 400])('%i is no failure of the host', async status => {
  const server = await serve((_request, response) => sendJson(response, {}, status));
  const { registry, clock } = connect(server.url);
  for (let at = 0; at < 6; at += 1) {
    await failureOf(registry.manifest(alpine, latest, read));
    clock.advance(10_000);
  }
  expect(server.seen).toHaveLength(6);
  expect(registry.health().away).toBe(false);
});

test('five answers of 500 in a row open it', async () => {
  const server = await serve((_request, response) => sendJson(response, {}, 500));
  const { registry, clock } = connect(server.url);
  for (let at = 0; at < 5; at += 1) {
    expect(registry.health().away).toBe(false);
    clock.advance(10_000); // past the memory of the last failure
    expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({
      failure: 'status',
      upstreamStatus: 500,
    });
  }
  await server.until(6);
  expect(server.lines[5]).toBe(ping);
  while (!registry.health().away) await settled();
  expect(server.lines).toHaveLength(6);
});

test('one repository that answers 500 refuses no other: the API root is asked first', async () => {
  const server = await serve((request, response) => {
    if (request.url === '/v2/') sendJson(response, {}, 401);
    else if (request.url?.includes('busybox')) sendManifest(request, response);
    else sendJson(response, {}, 500);
  });
  const { registry, clock, recorder } = connect(server.url);
  for (let at = 0; at < 12; at += 1) {
    clock.advance(10_000);
    expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({ upstreamStatus: 500 });
    expect((await registry.manifest(busybox, manifestDigest, read)).outcome).toBe('passthrough');
  }
  expect(recorder.of('breakerOpen')).toEqual([]);
});

test.each([
  ['501', 501],
  ['headers of 100 KiB', 200],
])('five times %s to one kind of question take no other one away', async (_name, status) => {
  const server = await serve((request, response) => {
    if (request.url?.includes('tags')) {
      sendJson(response, {}, status, status === 200 ? { 'x-long': 'x'.repeat(100_000) } : {});
    } else sendManifest(request, response);
  });
  const { registry, clock, recorder } = connect(server.url);
  for (let at = 0; at < 6; at += 1) {
    clock.advance(10_000);
    expect((await failureOf(registry.tags(alpine, read)))['code']).toBe('UNAVAILABLE');
    await registry.manifest(alpine, latest, read);
  }
  expect(recorder.of('breakerOpen')).toEqual([]);
  expect(server.lines).not.toContain(ping);
});

test('headers of 60 KiB are read', async () => {
  const server = await serve((request, response) =>
    sendManifest(request, response, { 'x-long': 'x'.repeat(60_000) }),
  );
  const { registry } = connect(server.url);
  expect((await registry.manifest(alpine, latest, read)).descriptor.digest).toBe(manifestDigest);
});

test('a running transfer asks a host that is away: it has a backoff of its own', async () => {
  let isSilent = false;
  const server = await serve((request, response) => {
    if (isSilent) return;
    if (request.url?.includes('blobs')) response.writeHead(200, { 'content-length': 10 }).write('01234');
    else sendManifest(request, response);
  });
  const { registry, clock } = connect(server.url);
  const source = registry.blobSource(alpine, blobDigest);
  const leaving = new AbortController();
  await source.open(0, { signal: leaving.signal });
  leaving.abort();
  isSilent = true;
  const silent = failureOf(registry.manifest(alpine, latest, read));
  await server.until(2);
  clock.advance(8000);
  await silent;
  expect(registry.health().away).toBe(true);
  const again = failureOf(source.open(5, { signal: never }));
  await server.until(4);
  expect(server.lines.slice(1).sort()).toEqual([
    ping,
    `GET /v2/library/alpine/blobs/${blobDigest}`,
    'GET /v2/library/alpine/manifests/latest',
  ]);
  expect(await failureOf(registry.blobSource(alpine, blobDigest).open(0, { signal: never }))).toMatchObject({
    failure: 'breaker',
  });
  clock.advance(8000);
  expect(await again).toMatchObject({ failure: 'timeout' });
});
