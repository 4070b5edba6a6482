/** The memory of what failed a moment ago. */
import { expect, test } from 'vitest';
import { parseTag } from '../../../../src/oci/name.ts';
import { UpstreamError } from '../../../../src/registry/upstream-error.ts';
import { RecentFailures } from '../../../../src/upstream/request/recent-failures.ts';
import {
  alpine,
  connect,
  failureOf,
  latest,
  manifestDigest,
  read,
  sendJson,
  sendManifest,
  serve,
} from '../rig.ts';

const [headLine, getLine] = ['HEAD', 'GET'].map(method => `${method} /v2/library/alpine/manifests/latest`);

test('a failed GET is not sent again for 10 s, and answers a HEAD meanwhile', async () => {
  const server = await serve((_request, response) => sendJson(response, {}, 500));
  const { registry, clock } = connect(server.url);
  await failureOf(registry.resolve(alpine, latest, read));
  expect(server.lines).toEqual([headLine, getLine]);
  const failed = { failure: 'status', upstreamStatus: 500 };
  clock.advance(9999);
  expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject(failed);
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject(failed);
  expect(server.seen).toHaveLength(2);
  await failureOf(registry.manifest(alpine, parseTag('other'), read));
  expect(server.seen).toHaveLength(3);
  clock.advance(1);
  await failureOf(registry.manifest(alpine, latest, read));
  expect(server.seen).toHaveLength(4);
});

test('a HEAD that broke off says nothing about the GET after it', async () => {
  const server = await serve((request, response) => {
    if (request.method === 'HEAD') response.destroy();
    else sendManifest(request, response);
  });
  const { registry } = connect(server.url);
  const unreachable = { failure: 'unreachable' };
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject(unreachable);
  await expect.poll(() => registry.health().away).toBe(false); // a probe was answered; only timeouts stay remembered then
  expect((await registry.manifest(alpine, latest, read)).descriptor.digest).toBe(manifestDigest);
  expect(server.lines).toEqual([headLine, 'GET /v2/', getLine]);
});

test('a HEAD that timed out is remembered for HEAD alone', async () => {
  const server = await serve((request, response) => {
    if (request.method !== 'HEAD') sendManifest(request, response);
  });
  const { registry, clock } = connect(server.url);
  const asked = failureOf(registry.resolve(alpine, latest, read));
  await server.until(1);
  await clock.pass(8000);
  expect(await asked).toMatchObject({ failure: 'timeout' });
  await expect.poll(() => registry.health().away).toBe(false);
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({ failure: 'timeout' });
  expect((await registry.manifest(alpine, latest, read)).descriptor.digest).toBe(manifestDigest);
  expect(server.lines).toEqual([headLine, 'GET /v2/', getLine]);
});

test('404 is not remembered here, and neither is a caller who left', async () => {
  const server = await serve((_request, response, count) => {
    if (count === 2) return;
    sendJson(response, {}, 404);
  });
  const { registry } = connect(server.url);
  for (let at = 0; at < 2; at += 1) {
    expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({
      failure: 'gone',
      code: 'MANIFEST_UNKNOWN',
    });
  }
  const leaving = new AbortController();
  const left = registry.manifest(alpine, latest, { signal: leaving.signal });
  await server.until(3);
  leaving.abort(new UpstreamError({ upstream: 'up', kind: 'manifest', failure: 'timeout', message: 'left' }));
  await expect(left).rejects.toThrow('left');
  expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({ failure: 'gone' });
  expect(server.seen).toHaveLength(4);
});

test('the memory is bounded, and connection failures leave it when the host is back', () => {
  const failures = new RecentFailures(() => 0);
  const fail = (failure: 'unreachable' | 'timeout'): UpstreamError =>
    new UpstreamError({ upstream: 'up', kind: 'manifest', failure, message: failure });
  for (let at = 0; at <= 4096; at += 1)
    failures.remember(`${at}`, fail(at % 2 === 0 ? 'unreachable' : 'timeout'));
  expect([failures.recall('0'), failures.recall('1')?.failure, failures.recall('2')?.failure]).toEqual([
    undefined,
    'timeout',
    'unreachable',
  ]);
  failures.forgetUnreachable();
  expect([failures.recall('1')?.failure, failures.recall('2')]).toEqual(['timeout', undefined]);
});
