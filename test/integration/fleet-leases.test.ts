/** Guards src/fleet/redis (leases, nodes, hints) with a real Redis. */
import { expect, test } from 'vitest';
import { BlobLeases } from '../../src/fleet/redis/blob-leases.ts';
import { FleetKeys, FleetRedis } from '../../src/fleet/redis/fleet-redis.ts';
import { Holders } from '../../src/fleet/redis/holders.ts';
import { Nodes } from '../../src/fleet/redis/nodes.ts';
import { SignedValues } from '../../src/fleet/signature.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { type RedisServer, startRedis } from '../support/real/redis.ts';
import { Recorder } from '../support/recorder.ts';
import { requires } from '../support/requires.ts';

const keys = new FleetKeys('lab');
const digest = digestOf(Buffer.from('a blob'));
const heartbeatMs = 60_000; // no node dies by itself here

interface Node {
  readonly leases: BlobLeases;
  readonly nodes: Nodes;
  readonly holders: Holders;
  readonly held: Set<Digest>;
  readonly peer: { readonly node: string; readonly url: string };
}

/** `life`: of a node that was started again. */
async function join(server: RedisServer, name: string, life = '1', secret = 'the secret'): Promise<Node> {
  const { logger } = new Recorder();
  const client = server.client();
  const redis = new FleetRedis({
    redis: { call: (command, ...args) => client.call(command, ...args) },
    logger,
    clock: () => performance.now(),
    onUpChange: () => {},
  });
  const self = { node: name.repeat(16), url: `http://${name}.lan:5000` };
  const nodes = new Nodes({ redis, keys, signedValues: new SignedValues(secret), logger, self, heartbeatMs });
  await nodes.beat();
  const held = new Set<Digest>();
  const isHeld = async (one: Digest) => held.has(one);
  return {
    leases: new BlobLeases({ redis, keys, nodes, token: `${self.node}.${life}`, leaseMs: 60_000 }),
    nodes,
    holders: new Holders({ redis, keys, node: self.node, isHeld, now: () => 1_700_000_000_000 }),
    held,
    peer: self,
  };
}

requires('redis-server')('a lease', () => {
  test('goes to the first that asks, and the others are told whose it is', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    const b = await join(server, 'b');
    expect(await a.leases.acquire(digest, 'look')).toEqual({ kind: 'free', holders: [] });
    expect(await a.leases.acquire(digest, 'take')).toEqual({ kind: 'ours' });
    expect(await a.leases.acquire(digest, 'take')).toEqual({ kind: 'ours' });
    const token = `${a.peer.node}.1`;
    const theirs = { kind: 'theirs', owner: a.peer, token, holders: [] };
    for (const how of ['look', 'take', 'insist'] as const)
      expect(await b.leases.acquire(digest, how)).toEqual(theirs);
    expect(await b.leases.owner(digest)).toBe(token);
    expect(await server.client().pttl(keys.lease(digest))).toBeGreaterThan(0);

    await b.leases.release(digest, false); // isn't its own to give back
    expect(await b.leases.owner(digest)).toBe(token);
    await a.leases.release(digest, false);
    expect(await b.leases.owner(digest)).toBe('');
  });

  test('is not taken of a blob that a node holds, unless by insisting', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    const b = await join(server, 'b');
    await a.leases.acquire(digest, 'take');
    await a.leases.release(digest, true);
    expect(await b.leases.acquire(digest, 'take')).toEqual({ kind: 'free', holders: [a.peer] });
    expect(await b.leases.acquire(digest, 'take', [a.peer.node])).toEqual({ kind: 'ours' });
    expect(await server.client().exists(keys.holders(digest))).toBe(0);
    await a.leases.release(digest, true);
    await b.leases.release(digest, false);
    expect(await b.leases.acquire(digest, 'insist')).toEqual({ kind: 'ours' });
    expect(await a.leases.acquire(digest, 'take')).toMatchObject({ kind: 'theirs', holders: [] }); // it is no peer of itself
  });

  test('is renewed by its owner alone, and taken again when it is free', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    const b = await join(server, 'b');
    await a.leases.acquire(digest, 'take');
    expect(await a.leases.renew(digest)).toBe('ours');
    await server.client().del(keys.lease(digest)); // it ran out
    expect(await b.leases.acquire(digest, 'take')).toEqual({ kind: 'ours' });
    expect(await a.leases.renew(digest)).toBe('lost');
    await a.leases.release(digest, false);
    expect(await b.leases.renew(digest)).toBe('ours');
    await b.leases.release(digest, false);
    expect(await a.leases.renew(digest)).toBe('ours');
  });

  test('is taken over by its own node after a restart', async () => {
    const server = await startRedis();
    await (await join(server, 'a')).leases.acquire(digest, 'take');
    const again = await join(server, 'a', '2');
    expect(await again.leases.acquire(digest, 'take')).toEqual({ kind: 'ours' });
  });

  test('names no node that has left, is dead, or is not of this fleet', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    const b = await join(server, 'b');
    const other = await join(server, 'c', '1', 'another secret');
    for (const node of [a, other]) await node.leases.release(digest, true);
    expect(await b.leases.acquire(digest, 'look')).toEqual({ kind: 'free', holders: [a.peer] });
    const client = server.client();
    const entry = await client.hget(keys.nodes, a.peer.node);
    await client.hset(keys.nodes, a.peer.node, String(entry).replace(/^\d+/, '1'));
    expect(await b.leases.acquire(digest, 'look')).toEqual({ kind: 'free', holders: [] });
    await a.nodes.beat();
    const forged = String(await client.hget(keys.nodes, a.peer.node)).replace('a.lan', 'evil.lan');
    await client.hset(keys.nodes, a.peer.node, forged);
    expect(await b.leases.acquire(digest, 'look')).toEqual({ kind: 'free', holders: [] });
    await a.nodes.leave();
    expect(await b.leases.acquire(digest, 'look')).toEqual({ kind: 'free', holders: [] });
  });

  test('is away when Redis is', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    await server.kill();
    expect(await a.leases.acquire(digest, 'take')).toEqual({ kind: 'away' });
    expect(await a.leases.renew(digest)).toBe('away');
    expect(await a.leases.owner(digest)).toBeUndefined();
    await a.leases.release(digest, true);
  });
});

requires('redis-server')('nodes', () => {
  test('count those alive, and notice that Redis has lost them', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    expect(await a.nodes.beat()).toBe('known');
    await join(server, 'b');
    expect(await a.nodes.beat()).toBe('known');
    expect(a.nodes.alive).toBe(2);
    await server.client().flushall();
    expect(await a.nodes.beat()).toBe('lost');
    expect(a.nodes.alive).toBe(1);
  });
});

requires('redis-server')('hints', () => {
  const others = Array.from({ length: 450 }, (_, index) => digestOf(Buffer.from(`blob ${index}`)));
  const count = async (server: RedisServer) => (await server.client().keys('cistern:{lab}:holders:*')).length;

  test('are given for what is held and used, and again when Redis has lost them', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    for (const one of others) {
      a.held.add(one);
      a.holders.note(one);
    }
    a.holders.note(digest); // a layer that a manifest names and that isn't here
    await expect.poll(() => count(server)).toBe(others.length);
    expect(await server.client().exists(keys.holders(digest))).toBe(0);
    await server.client().flushall();
    for (const one of others) a.holders.note(one); // used again: announced already, as far as this node knows
    a.holders.announceAll();
    await expect.poll(() => count(server)).toBe(others.length);
    const [one = digest] = others;
    expect(await server.client().pttl(keys.holders(one))).toBeGreaterThan(6 * 24 * 3600_000);
  });

  test('are taken back for what is no longer held', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    a.held.add(digest);
    a.holders.note(digest);
    await expect.poll(() => count(server)).toBe(1);
    a.held.delete(digest);
    a.holders.forget(digest);
    await expect.poll(() => count(server)).toBe(0);
  });
});
