/** Guards src/fleet/redis/shared-tags.ts with a real Redis. */
import { beforeEach, describe, expect, test } from 'vitest';
import { type SharedTag, SharedTags } from '../../../../src/fleet/redis/shared-tags.ts';
import { SignedValues } from '../../../../src/fleet/signature.ts';
import { digestOf } from '../../../../src/oci/digest.ts';
import { ociManifest } from '../../../../src/oci/media-type.ts';
import { deferred } from '../../../support/gates.ts';
import { type RedisServer, startRedis } from '../../../support/real/redis.ts';
import { requires } from '../../../support/requires.ts';

const name = 'docker.io/library/alpine:3';
const ttlMs = 60_000;
const keyOf = (tag: string) => `cistern:{lab}:tag:${tag}`;

function tagOf(content: string, checkedAt: number): SharedTag {
  const bytes = Buffer.from(content);
  return {
    descriptor: { digest: digestOf(bytes), mediaType: ociManifest, size: bytes.length },
    checkedAt,
    isFetched: false,
  };
}

requires('redis-server')('tags shared by a fleet', () => {
  let redis: RedisServer;
  let nowMs: number;
  let asked: string[];

  beforeEach(async () => {
    redis = await startRedis();
    nowMs = 1_700_000_000_000;
    asked = [];
  });

  function node(id: string, secret = 'together'): SharedTags {
    const client = redis.client();
    const options = {
      redis: () => client,
      key: keyOf,
      signedValues: new SignedValues(secret),
      node: id,
      ttlMs,
    };
    return new SharedTags({ ...options, now: () => nowMs });
  }

  /** Asks for the tag by way of that node; what it would find is `content`. */
  function ask(
    tags: SharedTags,
    who: string,
    content = 'one',
    { mustCheck = false, gate = Promise.resolve(), signal = new AbortController().signal } = {},
  ): Promise<{ readonly shared: SharedTag } | { readonly asked: SharedTag }> {
    return tags.once(name, { signal, mustCheck }, async () => {
      asked.push(who);
      await gate;
      return tagOf(content, nowMs);
    });
  }

  test('one node asks, the others take its word with its time', async () => {
    const found = await ask(node('a'), 'a');
    expect(found).toEqual({ asked: tagOf('one', nowMs) });
    const then = nowMs;
    nowMs += ttlMs - 1;
    expect(await ask(node('b'), 'b')).toEqual({ shared: tagOf('one', then) });
    expect(await ask(node('c'), 'c')).toEqual({ shared: tagOf('one', then) });
    expect(asked).toEqual(['a']);
  });

  test('after the ttl one of them asks again', async () => {
    await ask(node('a'), 'a');
    nowMs += ttlMs;
    expect(await ask(node('b'), 'b', 'two')).toEqual({ asked: tagOf('two', nowMs) });
    expect(await ask(node('a'), 'a')).toEqual({ shared: tagOf('two', nowMs) });
    expect(asked).toEqual(['a', 'b']);
  });

  test('while one asks the others wait for what it finds', async () => {
    const gate = deferred<void>();
    const first = ask(node('a'), 'a', 'one', { gate: gate.promise });
    await expect.poll(() => asked).toEqual(['a']);
    const others = ['b', 'c'].map(id => ask(node(id), id));
    await expect.poll(async () => await redis.client().hget(keyOf(name), 'asker')).toBe('a');
    gate.resolve();
    expect([await first, ...(await Promise.all(others))]).toEqual([
      { asked: tagOf('one', nowMs) },
      { shared: tagOf('one', nowMs) },
      { shared: tagOf('one', nowMs) },
    ]);
    expect(asked).toEqual(['a']);
  });

  test('who waits can leave', async () => {
    const gate = deferred<void>();
    const first = ask(node('a'), 'a', 'one', { gate: gate.promise });
    await expect.poll(() => asked).toEqual(['a']);
    const leaving = new AbortController();
    const other = ask(node('b'), 'b', 'one', { signal: leaving.signal });
    leaving.abort(new Error('gone'));
    await expect(other).rejects.toMatchObject({ name: 'AbortError', cause: { message: 'gone' } });
    gate.resolve();
    await first;
  });

  test('one that fails leaves its turn to the next', async () => {
    const failing = node('a').once(name, { signal: new AbortController().signal }, async () => {
      throw new Error('refused');
    });
    await expect(failing).rejects.toThrow('refused');
    expect(await ask(node('b'), 'b')).toEqual({ asked: tagOf('one', nowMs) });
  });

  test('the others wait for a node that died while it asked no longer than its right to ask lasts', async () => {
    const client = redis.client();
    await client.hset(keyOf(name), { asker: 'dead', until: 1 });
    expect(await ask(node('b'), 'b')).toEqual({ asked: tagOf('one', nowMs) });
    // a clock of Redis that was set back must not make a turn of years
    await client.hset(keyOf(name), { asker: 'dead', until: 8_000_000_000_000 });
    nowMs += ttlMs;
    expect(await ask(node('b'), 'b', 'two')).toEqual({ asked: tagOf('two', nowMs) });
  });

  test('who must have it checked asks for itself, and tells the others', async () => {
    await ask(node('a'), 'a');
    expect(await ask(node('b'), 'b', 'two', { mustCheck: true })).toEqual({ asked: tagOf('two', nowMs) });
    expect(await ask(node('a'), 'a')).toEqual({ shared: tagOf('two', nowMs) });
  });

  describe('write access to Redis alone', () => {
    async function forge(value: string): Promise<void> {
      await redis.client().hset(keyOf(name), 'value', value);
      expect(await ask(node('b'), 'b', 'right')).toEqual({ asked: tagOf('right', nowMs) });
    }

    test('cannot move a tag', async () => {
      const evil = tagOf('evil', nowMs);
      await forge(JSON.stringify({ ...evil.descriptor, checkedAt: nowMs }));
      nowMs += ttlMs;
      await forge(`${'A'.repeat(43)} ${JSON.stringify({ ...evil.descriptor, checkedAt: nowMs })}`);
      nowMs += ttlMs;
      await forge('');
    });

    test('cannot give one tag the value of another', async () => {
      const tags = node('a');
      const other = 'docker.io/library/alpine:2';
      await tags.once(other, { signal: new AbortController().signal }, async () => tagOf('old', nowMs));
      await forge((await redis.client().hget(keyOf(other), 'value')) ?? 'none');
    });

    test('cannot bring an old value back', async () => {
      await ask(node('a'), 'a', 'old');
      const old = (await redis.client().hget(keyOf(name), 'value')) ?? 'none';
      nowMs += ttlMs;
      await ask(node('a'), 'a', 'new');
      await forge(old);
    });

    test('with another secret counts for nothing', async () => {
      await ask(node('x', 'another'), 'x', 'evil');
      expect(await ask(node('b'), 'b', 'right')).toEqual({ asked: tagOf('right', nowMs) });
    });

    test('that puts another type under the key keeps no node from asking', async () => {
      await redis.client().set(keyOf(name), 'a string');
      expect(await ask(node('b'), 'b')).toEqual({ asked: tagOf('one', nowMs) });
    });
  });

  test('without Redis each asks by itself', async () => {
    const [a, b] = [node('a'), node('b')];
    await redis.kill();
    await ask(a, 'a');
    await ask(b, 'b');
    expect(asked).toEqual(['a', 'b']);
  });
});
