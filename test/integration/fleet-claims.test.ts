/** Leases and hints of a fleet in a real Redis: who gets a blob from where. */
import { expect, test } from 'vitest';
import { BlobLeases } from '../../src/fleet/redis/blob-leases.ts';
import { FleetKeys } from '../../src/fleet/redis/fleet-keys.ts';
import { FleetRedis } from '../../src/fleet/redis/fleet-redis.ts';
import { Holders } from '../../src/fleet/redis/holders.ts';
import { Nodes } from '../../src/fleet/redis/nodes.ts';
import { SignedValues } from '../../src/fleet/redis/signed-value.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { type RedisServer, startRedis } from '../support/real/redis.ts';
import { Recorder } from '../support/recorder.ts';
import { requires } from '../support/requires.ts';

const keys = new FleetKeys('lab');
const digest = digestOf(Buffer.from('a blob'));
const heartbeatMs = 60_000; // nobody dies by itself here

interface Node {
  readonly claims: BlobLeases;
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
    onTurn: () => {},
  });
  const self = { node: name.repeat(16), url: `http://${name}.lan:5000` };
  const nodes = new Nodes({ redis, keys, seal: new SignedValues(secret), logger, self, heartbeatMs });
  await nodes.beat();
  const held = new Set<Digest>();
  const isHeld = async (one: Digest) => held.has(one);
  return {
    claims: new BlobLeases({ redis, keys, nodes, token: `${self.node}.${life}`, leaseMs: 60_000 }),
    nodes,
    holders: new Holders({ redis, keys, node: self.node, isHeld, now: () => 1_700_000_000_000 }),
    held,
    peer: self,
  };
}

requires('redis-server')('a claim', () => {
  test('gives the lease to the first that asks, and tells the others whose it is', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    const b = await join(server, 'b');
    expect(await a.claims.claim(digest, 'look')).toEqual({ kind: 'nobody', holders: [] });
    expect(await a.claims.claim(digest, 'take')).toEqual({ kind: 'ours' });
    expect(await a.claims.claim(digest, 'take')).toEqual({ kind: 'ours' });
    const token = `${a.peer.node}.1`;
    const theirs = { kind: 'theirs', owner: a.peer, token, holders: [] };
    for (const how of ['look', 'take', 'insist'] as const)
      expect(await b.claims.claim(digest, how)).toEqual(theirs);
    expect(await b.claims.owner(digest)).toBe(token);
    expect(await server.client().pttl(keys.lease(digest))).toBeGreaterThan(0);

    await b.claims.release(digest, false); // isn't its own to give back
    expect(await b.claims.owner(digest)).toBe(token);
    await a.claims.release(digest, false);
    expect(await b.claims.owner(digest)).toBe('');
  });

  test('is sent to a node that holds it, unless it insists', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    const b = await join(server, 'b');
    await a.claims.claim(digest, 'take');
    await a.claims.release(digest, true);
    expect(await b.claims.claim(digest, 'take')).toEqual({ kind: 'nobody', holders: [a.peer] });
    expect(await b.claims.claim(digest, 'take', [a.peer.node])).toEqual({ kind: 'ours' });
    expect(await server.client().exists(keys.holders(digest))).toBe(0);
    await a.claims.release(digest, true);
    await b.claims.release(digest, false);
    expect(await b.claims.claim(digest, 'insist')).toEqual({ kind: 'ours' });
    expect(await a.claims.claim(digest, 'take')).toMatchObject({ kind: 'theirs', holders: [] }); // it is no peer of itself
  });

  test('is renewed by its owner alone, and taken again when nobody has it', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    const b = await join(server, 'b');
    await a.claims.claim(digest, 'take');
    expect(await a.claims.renew(digest)).toBe('ours');
    await server.client().del(keys.lease(digest)); // it ran out
    expect(await b.claims.claim(digest, 'take')).toEqual({ kind: 'ours' });
    expect(await a.claims.renew(digest)).toBe('lost');
    await a.claims.release(digest, false);
    expect(await b.claims.renew(digest)).toBe('ours');
    await b.claims.release(digest, false);
    expect(await a.claims.renew(digest)).toBe('ours');
  });

  test('of a node that was started again takes the lease of its earlier life', async () => {
    const server = await startRedis();
    await (await join(server, 'a')).claims.claim(digest, 'take');
    const again = await join(server, 'a', '2');
    expect(await again.claims.claim(digest, 'take')).toEqual({ kind: 'ours' });
  });

  test('leads to no node that has left, is dead, or is not of this fleet', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    const b = await join(server, 'b');
    const stranger = await join(server, 'c', '1', 'another secret');
    for (const node of [a, stranger]) await node.claims.release(digest, true);
    expect(await b.claims.claim(digest, 'look')).toEqual({ kind: 'nobody', holders: [a.peer] });
    const client = server.client();
    const entry = await client.hget(keys.nodes, a.peer.node);
    await client.hset(keys.nodes, a.peer.node, String(entry).replace(/^\d+/, '1'));
    expect(await b.claims.claim(digest, 'look')).toEqual({ kind: 'nobody', holders: [] });
    await a.nodes.beat();
    const forged = String(await client.hget(keys.nodes, a.peer.node)).replace('a.lan', 'evil.lan');
    await client.hset(keys.nodes, a.peer.node, forged);
    expect(await b.claims.claim(digest, 'look')).toEqual({ kind: 'nobody', holders: [] });
    await a.nodes.leave();
    expect(await b.claims.claim(digest, 'look')).toEqual({ kind: 'nobody', holders: [] });
  });

  test('says away when Redis is', async () => {
    const server = await startRedis();
    const a = await join(server, 'a');
    await server.kill();
    expect(await a.claims.claim(digest, 'take')).toEqual({ kind: 'away' });
    expect(await a.claims.renew(digest)).toBe('away');
    expect(await a.claims.owner(digest)).toBeUndefined();
    await a.claims.release(digest, true);
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
