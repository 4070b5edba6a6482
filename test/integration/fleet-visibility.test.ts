/** Private content in a fleet: a node gives it to another node, for its repository, and to no one else. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hash } from 'bcrypt';
import { expect, test } from 'vitest';
import { RequestSignatures } from '../../src/fleet/signature.ts';
import { buildPeerTarget } from '../../src/registry/peer.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { fleetSecret, type LocalNode, startFleet } from '../support/fleet.ts';
import { buildImage } from '../support/images.ts';
import { type RedisServer, startRedis } from '../support/real/redis.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const open = buildImage({ layers: [patternBlob('fleet open', 2_000_000)] });
const closed = buildImage({ layers: [patternBlob('fleet closed', 2_000_000)] });
const alice = { Authorization: `Basic ${Buffer.from('alice:secret').toString('base64')}` };
const partsOf = (image: typeof open) => image.blobs.map(({ descriptor }) => descriptor.digest);
const layerOf = (image: typeof open) => image.layers[0]?.descriptor.digest ?? image.digest;

async function start(): Promise<{
  redis: RedisServer;
  upstream: FakeUpstream;
  first: LocalNode;
  second: LocalNode;
}> {
  const redis = await startRedis();
  const upstream = await startFakeUpstream({
    auth: {
      kind: 'token',
      anonymous: ['library/open'],
      accounts: { u: { password: 'account', repositories: ['library/open', 'library/closed'] } },
    },
  });
  upstream.put('library/open', open, 'latest');
  upstream.put('library/closed', closed, 'latest');
  const htpasswd = join(await tempDir(), 'htpasswd');
  await writeFile(htpasswd, `alice:${await hash('secret', 4)}\n`);
  const rules = [
    { repositories: ['docker.io/library/closed'], users: ['alice', 'anonymous'] },
    { repositories: ['docker.io/**'], users: ['anonymous'] },
  ];
  const [first, second] = await startFleet({
    upstream,
    redis,
    count: 2,
    hub: { username: 'u', password: 'account' },
    config: { access: { htpasswd, rules } },
  });
  if (first === undefined || second === undefined) throw new Error('expected two nodes');
  return { redis, upstream, first, second };
}

async function pull(node: LocalNode, name: string, image: typeof open, headers = {}): Promise<void> {
  const manifest = await get(node.url, `/v2/library/${name}/manifests/latest`, { headers });
  expect(manifest).toMatchObject({ status: 200, sha256: image.digest });
  for (const part of partsOf(image)) {
    const path = `/v2/library/${name}/blobs/${part}`;
    expect(await get(node.url, path, { headers })).toMatchObject({
      status: 200,
      sha256: part,
      end: 'complete',
    });
  }
}

async function held(redis: RedisServer, digest: string, count: number): Promise<void> {
  const client = redis.client();
  await expect.poll(() => client.scard(`cistern:{lab}:holders:${digest}`), { timeout: 10_000 }).toBe(count);
}

requires('redis-server')('what is private in a fleet', () => {
  test('is taken from another node for those who may have it, and for no one else', async () => {
    const { redis, upstream, first, second } = await start();
    await pull(first, 'closed', closed, alice);
    for (const part of partsOf(closed)) await held(redis, part, 1);
    const blobs = upstream.contentBytes('blob');

    const layer = layerOf(closed);
    for (const path of [
      '/v2/library/closed/manifests/latest',
      `/v2/library/closed/manifests/${closed.digest}`,
      `/v2/library/closed/blobs/${layer}`,
      `/v2/library/open/blobs/${layer}`,
      `/v2/library/open/manifests/${closed.digest}`,
    ])
      expect([path, (await get(second.url, path)).status]).toEqual([path, 404]);
    expect((await get(second.url, `/v2/library/open/blobs/${layer}`, { headers: alice })).status).toBe(404);
    expect(await second.metric('cistern_fleet_bytes_total{upstream="docker.io"}')).toBe(0);

    await pull(second, 'closed', closed, alice);
    expect(upstream.contentBytes('blob')).toBe(blobs);
    for (const path of [`/v2/library/closed/blobs/${layer}`, `/v2/library/open/blobs/${layer}`])
      expect((await get(second.url, path)).status).toBe(404);
  });

  test('is not given to a node that asks for public content', async () => {
    const { redis, first, second } = await start();
    await pull(first, 'closed', closed, alice);
    await pull(first, 'open', open);
    for (const part of [...partsOf(closed), ...partsOf(open)]) await held(redis, part, 1);
    const entries = await redis.client().hgetall('cistern:{lab}:nodes');
    const [node = ''] = Object.entries(entries).find(([, entry]) => entry.includes(first.front.url)) ?? [];
    const signatures = new RequestSignatures({
      secret: fleetSecret,
      node: '0123456789abcdef',
      now: Date.now,
    });
    const ask = async (
      kind: 'blob' | 'manifest',
      digest: typeof open.digest,
      name: string,
      publicOnly: boolean,
    ) => {
      const target = buildPeerTarget({
        kind,
        digest,
        repository: `docker.io/library/${name}`,
        publicOnly,
        heldOnly: true,
      });
      const authorization = signatures.sign({ method: 'GET', target, range: undefined }, node);
      return (await get(first.url, target, { headers: { authorization }, keep: false })).status;
    };
    expect(await ask('blob', layerOf(closed), 'closed', true)).toBe(404);
    expect(await ask('manifest', closed.digest, 'closed', true)).toBe(404);
    expect(await ask('blob', layerOf(closed), 'open', false)).toBe(404);
    expect(await ask('blob', layerOf(closed), 'closed', false)).toBe(200);
    expect(await ask('blob', layerOf(open), 'open', true)).toBe(200);
    await pull(second, 'open', open);
    expect(await second.metric('cistern_fleet_bytes_total{upstream="docker.io"}')).toBeGreaterThan(2_000_000);
  });
});
