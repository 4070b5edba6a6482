/** What a tag costs a fleet: one question for all nodes within its ttl, and one pull limit that they use up together. */
import { expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { startFleet } from '../support/fleet.ts';
import { buildImage } from '../support/images.ts';
import type { TestMirrorOptions } from '../support/mirror.ts';
import { type RedisServer, startRedis } from '../support/real/redis.ts';
import { manifestLine } from '../support/request-log.ts';
import { requires } from '../support/requires.ts';
import { type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';

const first = buildImage({ layers: ['first'] });
const second = buildImage({ layers: ['second'] });
const path = '/v2/library/alpine/manifests/latest';
const tagKey = 'cistern:{lab}:tag:docker.io/library/alpine:latest';
const minuteMs = 60_000;

async function start(options: TestMirrorOptions = {}, hub: FakeUpstreamOptions = {}) {
  const redis = await startRedis();
  const upstream = await startFakeUpstream(hub);
  upstream.put('library/alpine', first, 'latest');
  const clock = { ms: Date.now() };
  const nodes = await startFleet({ upstream, redis, count: 3, now: () => clock.ms, ...options });
  return { redis, upstream, nodes, clock, urls: nodes.map(({ url }) => url) };
}

async function pull(urls: readonly string[], want = first): Promise<void> {
  for (const url of urls) expect(await get(url, path)).toMatchObject({ status: 200, sha256: want.digest });
}

async function heldBy(redis: RedisServer, digest: string, count: number): Promise<void> {
  const client = redis.client();
  await expect.poll(() => client.scard(`cistern:{lab}:holders:${digest}`), { timeout: 10_000 }).toBe(count);
}

requires('redis-server')('tags in a fleet', () => {
  test('a cold tag costs one GET, through any node, one after the other or all at once', async () => {
    const one = await start();
    await pull(one.urls);
    expect(one.upstream.lines()).toEqual([manifestLine('latest')]);
    const other = await start();
    await Promise.all([...other.urls, ...other.urls].map(url => pull([url])));
    expect(other.upstream.lines()).toEqual([manifestLine('latest')]);
  });

  test('after its ttl it costs one HEAD, and its age is that of the answer, not of the telling', async () => {
    const { upstream, urls, clock } = await start();
    await pull(urls);
    upstream.log.clear();
    clock.ms += minuteMs;
    await pull(urls.slice(0, 1));
    clock.ms += minuteMs / 2;
    await pull(urls);
    expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD')]);
    clock.ms += minuteMs / 2;
    await pull(urls);
    expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD'), manifestLine('latest', 'HEAD')]);
  });

  test('a HEAD of a cold tag is told too, and the GET by digest comes from the node that has it', async () => {
    const { upstream, urls, redis } = await start();
    for (const url of urls) expect((await head(url, path)).status).toBe(200);
    expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD')]);
    const [one = '', ...others] = urls;
    await get(one, `/v2/library/alpine/manifests/${first.digest}`);
    await heldBy(redis, first.digest, 1);
    for (const url of others)
      expect((await get(url, `/v2/library/alpine/manifests/${first.digest}`)).sha256).toBe(first.digest);
    expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD'), manifestLine(first.digest)]);
  });

  test('a tag that moved costs one HEAD and one GET by digest for all', async () => {
    const { upstream, urls, clock, redis } = await start();
    await pull(urls);
    upstream.move('library/alpine', 'latest', second);
    upstream.log.clear();
    clock.ms += minuteMs;
    await pull(urls.slice(0, 1), second);
    await heldBy(redis, second.digest, 1);
    await pull(urls, second);
    expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD'), manifestLine(second.digest)]);
  });

  test('a client that wants a check gets one, and the others get its result', async () => {
    const { upstream, urls, redis, clock } = await start();
    await pull(urls);
    upstream.move('library/alpine', 'latest', second);
    upstream.log.clear();
    const [one = '', ...others] = urls;
    const insisting = await get(one, path, { headers: { 'Cache-Control': 'no-cache' } });
    expect(insisting.sha256).toBe(second.digest);
    await heldBy(redis, second.digest, 1);
    clock.ms += minuteMs / 2;
    await pull(others, first); // fresh by their own knowledge
    clock.ms += minuteMs / 2 - 1;
    await pull(others, first);
    expect(upstream.lines()).toEqual([manifestLine('latest', 'HEAD'), manifestLine(second.digest)]);
  });

  test('write access to Redis alone moves no tag', async () => {
    const { upstream, urls, redis, clock } = await start();
    await pull(urls.slice(0, 1));
    const evil = buildImage({ layers: ['evil'] });
    upstream.put('library/alpine', evil, 'evil');
    const { digest, mediaType, size } = evil.descriptor;
    const text = JSON.stringify({ digest, mediaType, size, checkedAt: clock.ms, isFetched: true });
    await redis.client().hset(tagKey, 'value', `${'A'.repeat(43)}.${text}`);
    await pull(urls);
    expect(upstream.lines()).toEqual([manifestLine('latest'), manifestLine('latest')]);
  });

  test('with Redis gone each node asks by itself', async () => {
    const { upstream, urls, redis, nodes } = await start();
    await redis.kill();
    for (const { metric } of nodes)
      await expect.poll(() => metric('cistern_fleet_nodes'), { timeout: 20_000 }).toBe(0);
    await pull(urls);
    expect(upstream.lines()).toEqual(urls.map(() => manifestLine('latest')));
  });

  test('what is left of the pull limit is known to all who use it up', async () => {
    const { nodes, urls, clock } = await start({}, { rateLimit: { limit: 100, remaining: 80 } });
    const remaining = 'cistern_upstream_ratelimit_remaining{upstream="docker.io"}';
    const [one, two] = nodes;
    await get(urls[0] ?? '', '/v2/library/alpine/manifests/latest');
    clock.ms += 1;
    await get(urls[1] ?? '', '/v2/library/alpine/manifests/unknown'); // an answer of its own, so it knows its source
    const least = Math.min(
      ...(await Promise.all([one, two].map(node => node?.metric(remaining)))).map(Number),
    );
    for (const node of [one, two])
      await expect.poll(() => node?.metric(remaining), { timeout: 10_000 }).toBe(least);
  });
});

requires('redis-server')('a slow answer about a tag in a fleet', () => {
  test('is waited for by all nodes, and asked for once', async () => {
    const { upstream, urls } = await start();
    const gate = upstream.holdAfter({ kind: 'manifest' }, 10);
    const pulls = urls.map(url => pull([url]));
    await gate.reached;
    gate.release();
    await Promise.all(pulls);
    expect(upstream.lines()).toEqual([manifestLine('latest')]);
  });
});
