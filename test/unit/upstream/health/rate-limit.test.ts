/** 429 and pull quotas: what is read from answers, and for how long requests pause. */
import { expect, test } from 'vitest';
import { parseTag, type Repository } from '../../../../src/oci/name.ts';
import { PullQuota, RateLimitPauses } from '../../../../src/upstream/health/rate-limit.ts';
import {
  alpine,
  blobDigest,
  busybox,
  connect,
  failureOf,
  latest,
  ManualClock,
  never,
  read,
  sendBlob,
  sendJson,
  sendManifest,
  serve,
} from '../rig.ts';

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
  const untilTime = new Date(clock.now() + pauseMs).toISOString().slice(11, 19);
  expect(await failureOf(registry.manifest(alpine, latest, read))).toEqual({
    failure: 'limited',
    upstreamStatus: 429,
    code: 'UNAVAILABLE',
    retryAfterMs: pauseMs,
    message: `up's pull limit is used up, asked again at ${untilTime} UTC (429: TOOMANYREQUESTS see https://x.test/?…)`,
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
  expect(server.lines.map(line => line.split(' ')[0])).toEqual(['HEAD', 'GET', 'HEAD']);
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
])('with %j the pull quota is low: %s', (headers, expected) => {
  const quota = new PullQuota(
    () => 0,
    () => undefined,
  );
  quota.read(headers);
  expect(quota.isLow).toBe(expected);
});

test('the reading for those who leave pulls to others holds until its window has passed', async () => {
  let nowMs = 1000;
  const quota = new PullQuota(
    () => nowMs,
    () => undefined,
  );
  expect(quota.current).toBeUndefined();
  quota.read({ 'ratelimit-limit': '100;w=60', 'ratelimit-remaining': '42;w=60' });
  expect(quota.current).toEqual({ limit: 100, remaining: 42, untilMs: 61_000 });
  nowMs = 61_000;
  expect(quota.current).toBeUndefined();
  quota.read({ 'ratelimit-limit': '100' }); // it doesn't say what is left
  expect(quota.current).toBeUndefined();
});

test('429 of a store that a redirect led to makes that store rest, and neither the registry nor another store', async () => {
  const busy = await serve((_request, response) => sendJson(response, {}, 429, { 'retry-after': '60' }));
  const well = await serve(sendBlob);
  const server = await serve((request, response) => {
    const store = request.url?.includes('busybox') ? well : busy;
    sendJson(response, {}, 307, { location: store.url });
  });
  const { registry, clock } = connect(server.url);
  const open = (repository: Repository): Promise<unknown> =>
    registry.blobSource(repository, blobDigest).open(0, { signal: never });
  expect(await failureOf(open(alpine))).toMatchObject({ failure: 'limited', upstreamStatus: 429 });
  expect(registry.health().pausedUntil('blob')).toBeUndefined();
  expect(await failureOf(open(alpine))).toMatchObject({ failure: 'paused', retryAfterMs: 60_000 });
  await open(busybox);
  expect([busy.lines, well.lines, server.lines.length]).toEqual([['GET /'], ['GET /'], 3]);
  clock.advance(60_000);
  expect(await failureOf(open(alpine))).toMatchObject({ failure: 'limited' });
});
