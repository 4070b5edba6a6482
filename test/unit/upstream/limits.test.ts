/** 429 and rate limits, and the memory of what failed a moment ago. */
import { expect, test } from 'vitest';
import { parseTag } from '../../../src/oci/name.ts';
import { UpstreamError } from '../../../src/registry/upstream-error.ts';
import { RateLimitPauses } from '../../../src/upstream/health/rate-limit-pause.ts';
import { RateLimitState } from '../../../src/upstream/health/rate-limit-state.ts';
import { RecentFailures } from '../../../src/upstream/request/recent-failures.ts';
import {
  alpine,
  blobDigest,
  busybox,
  connect,
  failureOf,
  latest,
  ManualClock,
  read,
  sendBlob,
  sendJson,
  sendManifest,
  serve,
} from './rig.ts';

test.each([
  ['seconds', { 'retry-after': '30' }, 30_000],
  ['a date', { 'retry-after': 'Thu, 01 Jan 2026 00:01:00 GMT' }, 60_000],
  ['nothing', {}, 10_000],
  ['nonsense', { 'retry-after': 'later' }, 10_000],
  ['more than ten minutes', { 'retry-after': '86400' }, 600_000],
])('after 429 with %s, manifests are not asked for that long; blobs are', async (_name, headers, pauseMs) => {
  const server = await serve((request, response) => {
    if (request.url?.includes('/blobs/')) sendBlob(request, response);
    else
      sendJson(
        response,
        { errors: [{ code: 'TOOMANYREQUESTS', message: 'see https://x.test/?token=t' }] },
        429,
        headers,
      );
  });
  const { registry, clock, recorder } = connect(server.url);
  expect(await failureOf(registry.manifest(alpine, latest, read))).toEqual({
    failure: 'limited',
    upstreamStatus: 429,
    code: 'UNAVAILABLE',
    retryAfterMs: pauseMs,
    message: `expected 200 of GET manifest of library/alpine at 127.0.0.1:${server.port}, got 429: TOOMANYREQUESTS see https://x.test/?…`,
  });
  const until = clock.now() + pauseMs;
  expect(registry.health().pausedUntil('manifest')).toBe(until);
  expect(registry.health().pausedUntil('blob')).toBeUndefined();
  clock.advance(pauseMs - 1);
  expect(await failureOf(registry.resolve(busybox, latest, read))).toMatchObject({
    failure: 'paused',
    retryAfterMs: 1,
  });
  await registry.stat(alpine, blobDigest, read);
  expect(server.seen).toHaveLength(2);
  clock.advance(1);
  expect(registry.health().pausedUntil('manifest')).toBeUndefined();
  await failureOf(registry.resolve(busybox, latest, read));
  expect(server.seen).toHaveLength(3);
  expect(recorder.logged).toHaveLength(2);
});

test('429 of the realm pauses tokens only', async () => {
  const server: Awaited<ReturnType<typeof serve>> = await serve((request, response) => {
    if (request.url?.startsWith('/token')) sendJson(response, {}, 429, { 'retry-after': '7' });
    else sendJson(response, {}, 401, { 'www-authenticate': `Bearer realm="${server.url}/token"` });
  });
  const { registry } = connect(server.url);
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({
    failure: 'limited',
    retryAfterMs: 7000,
  });
  expect(await failureOf(registry.resolve(busybox, latest, read))).toMatchObject({ failure: 'paused' });
  expect(registry.health().pausedUntil('manifest')).toBeUndefined();
  expect(server.lines.map(line => line.split(' ')[0])).toEqual(['HEAD', 'GET']);
});

test('a later Retry-After replaces the earlier one', () => {
  const clock = new ManualClock();
  const pauses = new RateLimitPauses(clock.now);
  pauses.pause('manifest', '100');
  pauses.pause('manifest', '1');
  expect(pauses.pausedUntil('manifest')).toBe(clock.now() + 1000);
});

test('the rate limit is read from every answer, 429 included', async () => {
  const remaining = [50, 6, 5, 0];
  const server = await serve((request, response, count) => {
    const headers = {
      'ratelimit-limit': '100;w=21600',
      'ratelimit-remaining': `${remaining[count]};w=21600`,
    };
    if (count === 3) sendJson(response, {}, 429, { ...headers, 'docker-ratelimit-source': '192.0.2.1' });
    else sendManifest(request, response, headers);
  });
  const { registry, clock, recorder } = connect(server.url);
  const low: boolean[] = [registry.health().quotaLow];
  for (const name of ['a', 'b', 'c', 'd']) {
    await registry.manifest(alpine, parseTag(name), read).catch(() => undefined);
    low.push(registry.health().quotaLow);
  }
  expect(low).toEqual([false, false, false, true, true]);
  expect(recorder.of('upstreamRateLimit')).toEqual([
    'upstreamRateLimit up {"limit":100,"remaining":50,"windowSeconds":21600}',
    'upstreamRateLimit up {"limit":100,"remaining":6,"windowSeconds":21600}',
    'upstreamRateLimit up {"limit":100,"remaining":5,"windowSeconds":21600}',
    'upstreamRateLimit up {"limit":100,"remaining":0,"windowSeconds":21600,"source":"192.0.2.1"}',
  ]);
  clock.advance(21_599_999);
  expect(registry.health().quotaLow).toBe(true);
  clock.advance(1);
  expect(registry.health().quotaLow).toBe(false);
});

test.each([
  [{ 'ratelimit-limit': '10', 'ratelimit-remaining': '1' }, false],
  [{ 'ratelimit-limit': '10', 'ratelimit-remaining': '0' }, true],
  [{ 'ratelimit-remaining': '0' }, true],
  [{ 'ratelimit-remaining': '1' }, false],
  [{ 'ratelimit-limit': '100' }, false],
])('with %j the budget is low: %s', (headers, expected) => {
  const state = new RateLimitState({ now: () => 0, onReading: () => undefined });
  state.read(headers);
  expect(state.quotaLow).toBe(expected);
});

test('a failed question is not asked again for 10 s, by HEAD or GET', async () => {
  const server = await serve((_request, response) => sendJson(response, {}, 500));
  const { registry, clock } = connect(server.url);
  await failureOf(registry.resolve(alpine, latest, read));
  expect(await failureOf(registry.manifest(alpine, latest, read))).toMatchObject({
    failure: 'status',
    upstreamStatus: 500,
  });
  expect(server.seen).toHaveLength(1);
  await failureOf(registry.resolve(alpine, parseTag('other'), read));
  expect(server.seen).toHaveLength(2);
  clock.advance(9999);
  await failureOf(registry.manifest(alpine, latest, read));
  expect(server.seen).toHaveLength(2);
  clock.advance(1);
  await failureOf(registry.manifest(alpine, latest, read));
  expect(server.seen).toHaveLength(3);
});

test('404 is not remembered here, and neither is a caller who left', async () => {
  const server = await serve((_request, response, count) => {
    if (count === 2) return;
    sendJson(response, {}, 404);
  });
  const { registry } = connect(server.url);
  for (let at = 0; at < 2; at += 1) {
    expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({
      failure: 'gone',
      code: 'MANIFEST_UNKNOWN',
    });
  }
  const leaving = new AbortController();
  const left = registry.resolve(alpine, latest, { signal: leaving.signal });
  await server.until(3);
  leaving.abort(new UpstreamError({ upstream: 'up', kind: 'manifest', failure: 'timeout', message: 'left' }));
  await expect(left).rejects.toThrow('left');
  expect(await failureOf(registry.resolve(alpine, latest, read))).toMatchObject({ failure: 'gone' });
  expect(server.seen).toHaveLength(4);
});

test('the memory is bounded, and connection failures leave it when the host is back', () => {
  const failures = new RecentFailures({ ttlMs: 10, now: () => 0 });
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
