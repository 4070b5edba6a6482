/** Fleets of real processes: many clients on one cold blob, and nodes that are killed or stopped in the middle of it. */
import { expect, test } from 'vitest';
import { type Call, get, request } from '../support/client.ts';
import { type BlobContent, patternBlob } from '../support/content.ts';
import { type SpawnedNode, spawnFleet } from '../support/fleet.ts';
import { buildImage } from '../support/images.ts';
import { type RedisServer, startRedis } from '../support/real/redis.ts';
import { requires } from '../support/requires.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const fromPeers = 'cistern_fleet_bytes_total{upstream="docker.io"}';

async function startAll(blob: BlobContent): Promise<{ upstream: FakeUpstream; nodes: SpawnedNode[] }> {
  const redis = await startRedis();
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  const hub = { timeouts: { stall: '5m', give_up: '5m' } }; // gates hold for as long as a busy machine needs
  return { upstream, nodes: await spawnFleet({ upstream, redis, hub }) };
}

function pull({ url }: SpawnedNode, blob: BlobContent): Call {
  return request(url, { path: `/v2/library/big/blobs/${blob.digest}`, keep: false });
}

/** Splits the fleet into the node that downloads and those that follow it. */
async function findLeader(nodes: readonly SpawnedNode[]): Promise<[SpawnedNode, SpawnedNode[]]> {
  const leases = await Promise.all(nodes.map(({ metric }) => metric('cistern_fleet_leases')));
  const leader = nodes[leases.indexOf(1)];
  if (leader === undefined) throw new Error(`expected one node with a lease, got ${leases}`);
  return [leader, nodes.filter(node => node !== leader)];
}

async function expectWhole(calls: readonly Call[], blob: BlobContent): Promise<void> {
  for (const call of calls)
    expect(await call.done).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
}

requires('redis-server')('a fleet of three processes', () => {
  test('gives 60 clients a cold blob of 200 MB at the cost of one transfer', {
    timeout: 240_000,
  }, async () => {
    const blob = patternBlob('fleet 200', 200_000_000);
    const { upstream, nodes } = await startAll(blob);
    const gate = upstream.holdAfter({ digest: blob.digest }, blob.size / 2);
    const calls = nodes.flatMap(node => Array.from({ length: 20 }, () => pull(node, blob)));
    await gate.reached;
    await Promise.all(calls.map(call => call.atLeast(blob.size / 4))); // also those of the nodes that follow
    gate.release();
    await expectWhole(calls, blob);
    expect(upstream.lines()).toEqual([`GET blobs/${blob.digest.slice(0, 19)}…`]);
    expect(upstream.contentBytes('blob')).toBe(blob.size);
    const received = await Promise.all(nodes.map(({ metric }) => metric(fromPeers)));
    expect(received.sort((one, other) => one - other)).toEqual([0, blob.size, blob.size]);
  });

  test('goes on when the node that downloads is killed', { timeout: 120_000 }, async () => {
    const blob = patternBlob('fleet killed', 60_000_000);
    const { upstream, nodes } = await startAll(blob);
    const gate = upstream.holdAfter({ digest: blob.digest }, 0.3 * blob.size);
    const calls = new Map(nodes.map(node => [node, Array.from({ length: 5 }, () => pull(node, blob))]));
    await gate.reached;
    await Promise.all([...calls.values()].flat().map(call => call.atLeast(0.25 * blob.size)));
    const [leader, living] = await findLeader(nodes);
    await leader.process.stop('SIGKILL');
    await expectWhole(
      living.flatMap(node => calls.get(node) ?? []),
      blob,
    );
    expect(upstream.lines()).toHaveLength(2);
    expect(upstream.lines()[1]).toMatch(/ bytes=\d+-$/);
    expect(upstream.contentBytes('blob')).toBeLessThan(1.5 * blob.size);
  });

  test('goes on when it is stopped, which notices when it wakes up', { timeout: 120_000 }, async () => {
    const blob = patternBlob('fleet stopped', 60_000_000);
    const { upstream, nodes } = await startAll(blob);
    const first = upstream.holdAfter({ digest: blob.digest }, 0.3 * blob.size);
    const second = upstream.holdAfter({ digest: blob.digest }, 0.3 * blob.size, { nth: 2 });
    const calls = new Map(nodes.map(node => [node, Array.from({ length: 5 }, () => pull(node, blob))]));
    await first.reached;
    await Promise.all([...calls.values()].flat().map(call => call.atLeast(0.25 * blob.size)));
    const [leader, living] = await findLeader(nodes);
    leader.process.signal('SIGSTOP');
    await second.reached; // another has the lease, and its own transfer is in the middle
    leader.process.signal('SIGCONT');
    await expect.poll(() => leader.metric('cistern_fleet_leases_lost_total'), { timeout: 20_000 }).toBe(1);
    second.release();
    await expectWhole(
      living.flatMap(node => calls.get(node) ?? []),
      blob,
    );
    first.release();
    await expectWhole(calls.get(leader) ?? [], blob);
    expect(upstream.lines()).toHaveLength(2);
    expect((await get(leader.url, '/readyz')).status).toBe(200);
  });
});

/** New images, each pulled through all nodes at once by several clients, until `stop`. */
class MixedLoad {
  readonly failures: string[] = [];
  readonly #upstream: FakeUpstream;
  readonly #nodes: readonly SpawnedNode[];
  readonly #sequences: Promise<void>[];
  #images = 0;
  #done = 0;
  #stopped = false;
  #waiters: { at: number; resolve: () => void }[] = [];

  constructor(upstream: FakeUpstream, nodes: readonly SpawnedNode[]) {
    this.#upstream = upstream;
    this.#nodes = nodes;
    this.#sequences = [1, 2, 3].map(() => this.#sequence());
  }

  /** Resolves when so many more images have been pulled. */
  more(count: number): Promise<void> {
    return new Promise(resolve => this.#waiters.push({ at: this.#done + count, resolve }));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#sequences);
  }

  async #sequence(): Promise<void> {
    while (!this.#stopped) {
      this.#images += 1;
      await this.#pullEverywhere(`library/app${this.#images % 5}`, `t${this.#images}`);
      this.#done += 1;
      for (const { resolve } of this.#waiters.filter(({ at }) => at <= this.#done)) resolve();
      this.#waiters = this.#waiters.filter(({ at }) => at > this.#done);
    }
  }

  async #pullEverywhere(repository: string, tag: string): Promise<void> {
    const layers = [20_000, 2_500_000].map(bytes => patternBlob(`${repository} ${tag} ${bytes}`, bytes));
    const image = buildImage({ layers });
    this.#upstream.put(repository, image, tag);
    const parts = image.blobs.map(({ descriptor }) => descriptor.digest);
    await Promise.all(
      [...this.#nodes, ...this.#nodes].map(async ({ url }) => {
        await this.#expect(url, `/v2/${repository}/manifests/${tag}`, image.descriptor.digest);
        for (const part of parts) await this.#expect(url, `/v2/${repository}/blobs/${part}`, part);
      }),
    );
  }

  async #expect(url: string, path: string, digest: string): Promise<void> {
    const { status, end, sha256 } = await get(url, path, { keep: false });
    if (status !== 200 || end !== 'complete' || sha256 !== digest)
      this.failures.push(`${path}: ${status} ${end} ${sha256}`);
  }
}

interface RedisFault {
  readonly what: string;
  begin(redis: RedisServer): Promise<unknown> | unknown;
  end(redis: RedisServer): Promise<unknown> | unknown;
  /** The nodes notice. */
  readonly takesItAway: boolean;
}

const config = (redis: RedisServer, ...settings: string[]) => redis.client().config('SET', ...settings);

const redisFaults: readonly RedisFault[] = [
  { what: 'killed', begin: redis => redis.kill(), end: redis => redis.start(), takesItAway: true },
  { what: 'paused', begin: redis => redis.pause(), end: redis => redis.resume(), takesItAway: true },
  {
    what: 'restarted empty',
    begin: async redis => {
      await redis.kill();
      await redis.start();
    },
    end: () => {},
    takesItAway: false,
  },
  {
    what: 'made read-only',
    begin: redis => redis.client().replicaof('127.0.0.1', 1),
    end: redis => redis.client().replicaof('NO', 'ONE'),
    takesItAway: true,
  },
  {
    what: 'full, and evicting our keys',
    begin: redis => config(redis, 'maxmemory-policy', 'allkeys-random', 'maxmemory', '1500kb'),
    end: redis => config(redis, 'maxmemory', '0'),
    takesItAway: false,
  },
  {
    what: 'full, and refusing',
    begin: redis => config(redis, 'maxmemory-policy', 'noeviction', 'maxmemory', '1'),
    end: redis => config(redis, 'maxmemory', '0'),
    takesItAway: true,
  },
];

requires('redis-server')('under load, a Redis that is', () => {
  test.each(redisFaults)('$what fails no pull', { timeout: 180_000 }, async ({ begin, end, takesItAway }) => {
    const redis = await startRedis();
    const upstream = await startFakeUpstream();
    const nodes = await spawnFleet({ upstream, redis, hub: { timeouts: { stall: '5m', give_up: '5m' } } });
    const load = new MixedLoad(upstream, nodes);
    await load.more(3);
    await begin(redis);
    if (takesItAway) {
      for (const { metric } of nodes)
        await expect.poll(() => metric('cistern_fleet_up'), { timeout: 30_000 }).toBe(0);
    }
    await load.more(6);
    for (const { url } of nodes) expect((await get(url, '/readyz')).status).toBe(200);
    await end(redis);
    for (const { metric } of nodes)
      await expect.poll(() => metric('cistern_fleet_nodes'), { timeout: 30_000 }).toBe(nodes.length);
    await load.more(3);
    await load.stop();
    expect(load.failures).toEqual([]);

    const blob = patternBlob('after all that', 5_000_000);
    upstream.putBlob('library/big', blob.digest, blob);
    const gate = upstream.holdAfter({ digest: blob.digest }, blob.size / 2);
    const calls = nodes.map(node => pull(node, blob));
    await gate.reached;
    await Promise.all(calls.map(call => call.atLeast(blob.size / 4)));
    gate.release();
    await expectWhole(calls, blob);
    expect(upstream.contentBytes('blob', blob.digest)).toBe(blob.size);
  });
});
