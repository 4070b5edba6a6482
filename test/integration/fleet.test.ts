/** Several mirrors as one: what one downloads or holds, the other nodes take from it, and no one else does. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { RequestSignatures } from '../../src/fleet/signature.ts';
import type { Digest } from '../../src/oci/digest.ts';
import { buildPeerTarget } from '../../src/registry/peer.ts';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { fleetSecret, type LocalNode, startFleet } from '../support/fleet.ts';
import { buildImage } from '../support/images.ts';
import { unusedPort } from '../support/ports.ts';
import { type RedisServer, startRedis } from '../support/real/redis.ts';
import { manifestLine } from '../support/request-log.ts';
import { requires } from '../support/requires.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const size = 20_000_000;
const blob = patternBlob('fleet', size);
const path = `/v2/library/big/blobs/${blob.digest}`;
const blobLine = `GET blobs/${blob.digest.slice(0, 19)}…`;
const whole = { status: 200, sha256: blob.digest, end: 'complete' };

async function startPair(
  more: { config?: Record<string, unknown>; hub?: Record<string, unknown> } = {},
): Promise<{ redis: RedisServer; upstream: FakeUpstream; first: LocalNode; second: LocalNode }> {
  const redis = await startRedis();
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  const [first, second] = await startFleet({
    upstream,
    redis,
    count: 2,
    hub: { timeouts: { stall: '5m' } }, // gates hold for as long as a busy machine needs
    ...more,
  });
  if (first === undefined || second === undefined) throw new Error('expected two nodes');
  return { redis, upstream, first, second };
}

/** Resolves when so many nodes have said in Redis that they hold it. */
async function held(redis: RedisServer, digest: Digest, count: number): Promise<void> {
  const client = redis.client();
  await expect.poll(() => client.scard(`cistern:{lab}:holders:${digest}`), { timeout: 10_000 }).toBe(count);
}

function storePath(node: LocalNode, digest: Digest): string {
  const [algorithm = '', hex = ''] = digest.split(':');
  return join(node.storePath, 'blobs-v1', algorithm, hex.slice(0, 2), hex);
}

/** What it calls itself in Redis. */
async function nameOf(redis: RedisServer, node: LocalNode): Promise<string> {
  const entries = await redis.client().hgetall('cistern:{lab}:nodes');
  const found = Object.entries(entries).find(([, entry]) => entry.includes(node.front.url));
  if (found === undefined) throw new Error('expected it among the nodes');
  return found[0];
}

function peerBytes(node: LocalNode): Promise<number> {
  return node.metric('cistern_fleet_bytes_total{upstream="docker.io"}');
}

requires('redis-server')('a fleet', () => {
  test('follows the node that downloads while it downloads, at the cost of one transfer', async () => {
    const { upstream, first, second } = await startPair();
    const gate = upstream.holdAfter({ digest: blob.digest }, size / 2);
    const calls = [first, second].flatMap(({ url }) => [1, 2].map(() => request(url, { path, keep: false })));
    await gate.reached;
    await Promise.all(calls.map(call => call.atLeast(size / 4)));
    gate.release();
    for (const call of calls) expect(await call.done).toMatchObject(whole);
    expect(upstream.lines()).toEqual([blobLine]);
    const received = [await peerBytes(first), await peerBytes(second)].sort((one, other) => one - other);
    expect(received).toEqual([0, size]);
    const fromUpstream = 'cistern_upstream_bytes_total{upstream="docker.io"}';
    expect((await first.metric(fromUpstream)) + (await second.metric(fromUpstream))).toBe(size);
  });

  test('asks Redis nothing for hits, and tells it once of what they are about', async () => {
    const { redis, upstream, first } = await startPair();
    const other = patternBlob('fleet other', 2000);
    upstream.putBlob('library/big', other.digest, other);
    await get(first.url, path, { keep: false });
    await held(redis, blob.digest, 1);
    const commands: string[] = [];
    const monitor = await redis.client().monitor();
    monitor.on('monitor', (_time: string, args: string[]) => commands.push(args.join(' ')));
    for (let hit = 0; hit < 10; hit += 1) await get(first.url, path, { keep: false });
    await get(first.url, `/v2/library/big/blobs/${other.digest}`); // what the hits had to say would be said before this
    const isSaid = (digest: Digest) =>
      commands.some(text => text.includes(`cistern:{lab}:holders:${digest}`));
    await expect.poll(() => isSaid(other.digest), { timeout: 10_000 }).toBe(true);
    const sent = commands.filter(text => text.startsWith('eval') && text.includes('cistern:{lab}'));
    expect(sent.filter(text => text.includes(blob.digest))).toHaveLength(1);
    monitor.disconnect();
  });

  test('meets in a Redis Cluster too', async () => {
    const redis = await startRedis({
      args: [
        ...['--cluster-enabled', 'yes', '--cluster-port', String(await unusedPort())],
        ...['--cluster-announce-ip', '127.0.0.1'],
      ],
    });
    await redis.client().cluster('ADDSLOTSRANGE', 0, 16_383);
    await expect
      .poll(() => redis.client().cluster('INFO'), { timeout: 20_000 })
      .toContain('cluster_state:ok');
    const upstream = await startFakeUpstream();
    upstream.putBlob('library/big', blob.digest, blob);
    const config = { lru: { redis: { cluster: [`127.0.0.1:${redis.port}`] } } };
    const nodes = await startFleet({ upstream, redis, count: 2, config });
    for (const { url } of nodes) {
      expect(await get(url, path, { keep: false })).toMatchObject(whole);
      await expect.poll(() => redis.client().exists(`cistern:{lab}:holders:${blob.digest}`)).toBe(1);
    }
    expect(upstream.lines()).toEqual([blobLine]);
  });

  test('takes what a node holds from it, images and ranges too', async () => {
    const { redis, upstream, first, second } = await startPair();
    const image = buildImage({ layers: ['a layer', patternBlob('fleet layer', 3_000_000)] });
    upstream.put('library/app', image, '1');
    const { digest } = image.descriptor;
    const parts = image.blobs.map(({ descriptor }) => descriptor.digest);
    const pull = async (node: LocalNode) => {
      expect((await get(node.url, `/v2/library/app/manifests/${digest}`)).sha256).toBe(digest);
      for (const part of parts)
        expect(await get(node.url, `/v2/library/app/blobs/${part}`)).toMatchObject({
          sha256: part,
          end: 'complete',
        });
    };
    await pull(first);
    for (const part of [digest, ...parts]) await held(redis, part, 1);
    const asked = upstream.lines();
    await pull(second);
    await get(first.url, path, { keep: false });
    await held(redis, blob.digest, 1);
    const range = await get(second.url, path, { headers: { Range: 'bytes=1000-1999' } });
    expect(range).toMatchObject({ status: 206, body: blob.slice(1000, 2000) });
    expect(upstream.lines()).toEqual([...asked, blobLine]);
    for (const part of [digest, ...parts]) await held(redis, part, 2);
  });

  test('asks for a manifest by digest once, when all nodes are asked at the same time', async () => {
    const { upstream, first, second } = await startPair();
    const image = buildImage({ layers: ['a layer'] });
    upstream.put('library/app', image, '1');
    const { digest } = image.descriptor;
    const gate = upstream.holdHeaders({ kind: 'manifest' });
    const answers = [first, second].map(({ url }) => get(url, `/v2/library/app/manifests/${digest}`));
    await gate.reached;
    gate.release();
    for (const answer of answers) expect((await answer).sha256).toBe(digest);
    expect(upstream.lines()).toEqual([manifestLine(digest)]);
  });

  test('asks the upstream when a node no longer holds what it said, and forgets that it did', async () => {
    const { redis, upstream, first, second } = await startPair();
    await get(first.url, path, { keep: false });
    await held(redis, blob.digest, 1);
    await rm(storePath(first, blob.digest));
    expect(await get(second.url, path, { keep: false })).toMatchObject(whole);
    expect(upstream.lines()).toEqual([blobLine, blobLine]);
    expect(await second.metric('cistern_fleet_requests_total{kind="blob",result="missing"}')).toBe(1);
    await held(redis, blob.digest, 1); // the second one now
  });

  test('goes on with the upstream when the node that gives a blob breaks off', async () => {
    const { redis, upstream, first, second } = await startPair();
    await get(first.url, path, { keep: false });
    await held(redis, blob.digest, 1);
    first.front.cutAfter = size / 2;
    const cutAndRefused = get(second.url, path, { keep: false });
    await expect.poll(() => first.front.cutAfter).toBeUndefined();
    first.front.target = undefined;
    expect(await cutAndRefused).toMatchObject(whole);
    const fromPeer = await peerBytes(second);
    expect(upstream.contentBytes('blob') - size + fromPeer).toBe(size);
  });

  test('waits once for a node that is alive and cannot be reached, and says so', async () => {
    const { upstream, first, second } = await startPair();
    const other = patternBlob('fleet other', 2_000_000);
    upstream.putBlob('library/big', other.digest, other);
    const gates = [blob, other].map(({ digest, size: all }) => upstream.holdAfter({ digest }, all / 2));
    const paths = [blob, other].map(({ digest }) => `/v2/library/big/blobs/${digest}`);
    const calls = paths.map(target => request(first.url, { path: target, keep: false }));
    for (const gate of gates) await gate.reached;
    await first.front.close();
    for (const [index, target] of paths.entries())
      expect(await get(second.url, target, { keep: false })).toMatchObject({
        sha256: [blob, other][index]?.digest,
      });
    expect(second.log.filter(({ msg }) => String(msg).includes('fleet.advertise'))).toHaveLength(1);
    for (const gate of gates) gate.release();
    for (const call of calls) expect((await call.done).end).toBe('complete');
  });

  test('is not hurt by a node that gives wrong bytes of a small blob', async () => {
    const { redis, upstream, first, second } = await startPair();
    const small = patternBlob('fleet small', 500_000);
    upstream.putBlob('library/big', small.digest, small);
    const smallPath = `/v2/library/big/blobs/${small.digest}`;
    await get(first.url, smallPath, { keep: false });
    await held(redis, small.digest, 1);
    const bytes = await readFile(storePath(first, small.digest));
    bytes[1000] = (bytes[1000] ?? 0) ^ 1;
    await writeFile(storePath(first, small.digest), bytes);
    expect(await get(second.url, smallPath, { keep: false })).toMatchObject({
      status: 200,
      sha256: small.digest,
      end: 'complete',
    });
    expect(upstream.requests).toHaveLength(2);
    expect(await second.metric('cistern_fleet_wrong_total')).toBe(1);
  });

  test('asks a node that gave wrong bytes of a large blob no more', async () => {
    const { redis, upstream, first, second } = await startPair();
    await get(first.url, path, { keep: false });
    await held(redis, blob.digest, 1);
    const bytes = await readFile(storePath(first, blob.digest));
    bytes[size - 1000] = (bytes[size - 1000] ?? 0) ^ 1;
    await writeFile(storePath(first, blob.digest), bytes);
    const misled = await get(second.url, path, { keep: false });
    expect(misled.end).toBe('fin-early'); // as with wrong bytes of an upstream: never a whole wrong body
    await expect.poll(() => second.metric('cistern_fleet_wrong_total')).toBe(1);
    expect(await get(second.url, path, { keep: false })).toMatchObject(whole);
    expect(upstream.lines()).toEqual([blobLine, blobLine]);
  });

  test('takes no blob of another length than its manifest says', async () => {
    const { redis, upstream, first, second } = await startPair();
    const image = buildImage({ layers: [blob] });
    upstream.put('library/app', image, '1');
    const layer = `/v2/library/app/blobs/${blob.digest}`;
    for (const node of [first, second]) await get(node.url, '/v2/library/app/manifests/1');
    await get(first.url, layer, { keep: false });
    await held(redis, blob.digest, 1);
    await writeFile(storePath(first, blob.digest), blob.slice(0, size - 1));
    expect(await get(second.url, layer, { keep: false })).toMatchObject(whole);
    expect(await peerBytes(second)).toBe(0);
    expect(upstream.lines().filter(line => line === blobLine)).toHaveLength(2);
  });
});

requires('redis-server')('the door for nodes', () => {
  test('answers signed requests alone, each once, for what is linked', async () => {
    const { redis, upstream, first } = await startPair();
    upstream.putBlob('library/other', blob.digest, 'never asked for');
    const ask = (target: string, authorization?: string, headers: Record<string, string> = {}) =>
      get(first.url, target, {
        headers: { ...headers, ...(authorization && { authorization }) },
        keep: false,
      });
    await get(first.url, path, { keep: false });
    await held(redis, blob.digest, 1); // until then it is being put into its place
    const node = await nameOf(redis, first);
    const by = (secret: string, now = Date.now()) =>
      new RequestSignatures({ secret, node: '0123456789abcdef', now: () => now });
    const question = {
      kind: 'blob',
      digest: blob.digest,
      repository: 'docker.io/library/big',
      publicOnly: false,
      heldOnly: true,
    } as const;
    const target = buildPeerTarget(question);
    const plain = { method: 'GET', target, range: undefined };
    const good = by(fleetSecret).sign(plain, node);
    expect(await ask(target, good)).toMatchObject({ status: 200, sha256: blob.digest });

    const others = [
      undefined,
      good, // once is enough
      'Basic dTpw',
      by('another secret of sixteen').sign(plain, node),
      by(fleetSecret, Date.now() - 61_000).sign(plain, node),
      by(fleetSecret, Date.now() + 61_000).sign(plain, node),
      by(fleetSecret).sign(plain, 'fedcba9876543210'), // meant for another node
      by(fleetSecret).sign({ ...plain, method: 'HEAD' }, node),
      by(fleetSecret).sign({ ...plain, range: 'bytes=0-0' }, node),
      by(fleetSecret).sign({ ...plain, target: `${target}x` }, node),
    ];
    const answers = await Promise.all(others.map(authorization => ask(target, authorization)));
    const missing = await ask(buildPeerTarget({ ...question, repository: 'docker.io/library/never' }));
    for (const answer of [...answers, missing]) expect(answer.status).toBe(401);
    expect(new Set([...answers, missing].map(({ sha256 }) => sha256)).size).toBe(1);

    for (const repository of ['ghcr.io/library/big', 'docker.io/../x', 'library/big', '']) {
      const elsewhere = buildPeerTarget({ ...question, repository });
      const signed = by(fleetSecret).sign({ ...plain, target: elsewhere }, node);
      expect((await ask(elsewhere, signed)).status).toBe(404);
    }
    expect(upstream.lines()).toEqual([blobLine]);
    expect(await first.metric('cistern_fleet_refused_total')).toBe(answers.length + 1);
  });

  test('gives a growing blob to a node that follows, but not back to the one that it comes from', async () => {
    const { redis, upstream, first, second } = await startPair();
    const gate = upstream.holdAfter({ digest: blob.digest }, size / 2);
    const leading = request(first.url, { path, keep: false });
    await gate.reached;
    const following = request(second.url, { path, keep: false });
    await following.atLeast(size / 4);
    const target = buildPeerTarget({
      kind: 'blob',
      digest: blob.digest,
      repository: 'docker.io/library/big',
      publicOnly: false,
      heldOnly: false,
    });
    const [leader, follower] = [await nameOf(redis, first), await nameOf(redis, second)];
    const askAs = (node: string) => {
      const signatures = new RequestSignatures({ secret: fleetSecret, node, now: Date.now });
      const authorization = signatures.sign({ method: 'GET', target, range: undefined }, follower);
      return request(second.url, { path: target, headers: { authorization }, keep: false });
    };
    expect(await askAs(leader).done).toMatchObject({ status: 404 });
    const third = askAs('0123456789abcdef');
    await third.atLeast(size / 4);
    gate.release();
    for (const call of [leading, following, third]) expect(await call.done).toMatchObject(whole);
  });

  test('is not there without a fleet', async () => {
    const { startTestMirror } = await import('../support/mirror.ts');
    const mirror = await startTestMirror();
    expect((await get(mirror.url, `/fleet/v1/blobs/${blob.digest}?repository=x`)).status).toBe(404);
    expect((await get(mirror.url, '/metrics')).body.toString()).not.toContain('cistern_fleet');
  });
});
