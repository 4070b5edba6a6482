/**
 * The LRU index as it stands in Redis, for one store: `cistern:{STORE}:lru` (sorted set: digest to last use in ms), `size`
 * (hash: digest to bytes), `bytes` (their sum) and `pin` (set: a copy of what may not be evicted). Digests are binary
 * (`digest-key.ts`). The braces keep all keys on one node of a Cluster. Errors: those of the access that is handed in.
 */
import type { Digest } from '../../oci/digest.ts';
import { keyOf } from '../index/digest-key.ts';
import type { LruEntry } from '../lru.ts';
import { dropScript, putScript, type Script, settleScript } from './redis-scripts.ts';

type Argument = string | number | Buffer;

/** Commands of a connection, and nothing else of it. */
export interface RedisAccess {
  call(command: string, ...args: readonly Argument[]): Promise<unknown>;
  /** Replies with Buffers where it has text. */
  callBuffer(command: string, ...args: readonly Argument[]): Promise<unknown>;
  run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown>;
}

/** How much Redis holds. */
export interface RedisCounts {
  readonly lastUses: number;
  readonly sizes: number;
  /** Undefined: no number stands there. */
  readonly bytes: number | undefined;
}

/** Key of a digest, and what stands with it, as text. */
export type Row = readonly [Buffer, string];

const types = { lru: 'zset', size: 'hash', bytes: 'string', pin: 'set' } as const;
/** Rows asked for at once: a page is taken apart in a millisecond or two. */
const pageSize = 500;

export class RedisEntries {
  readonly #redis: RedisAccess;
  readonly #keys: Readonly<Record<keyof typeof types, string>>;

  constructor(redis: RedisAccess, storeId: string) {
    this.#redis = redis;
    const keyFor = (name: string): string => `cistern:{${storeId}}:${name}`;
    this.#keys = { lru: keyFor('lru'), size: keyFor('size'), bytes: keyFor('bytes'), pin: keyFor('pin') };
  }

  /** Errors: a key of ours holds something else; the message says which and what. */
  async check(): Promise<void> {
    for (const [name, key] of Object.entries(this.#keys)) {
      const type = String(await this.#redis.call('type', key));
      const expected = Object.entries(types).find(([known]) => known === name)?.[1];
      if (type !== 'none' && type !== expected)
        throw new Error(`Redis holds foreign data: expected ${key} to be a ${expected}, got a ${type}`);
    }
    await this.counts();
  }

  counts(): Promise<RedisCounts> {
    return this.put([]);
  }

  put(entries: readonly LruEntry[]): Promise<RedisCounts> {
    return this.#run(
      putScript,
      entries.flatMap(({ digest, lastUseMs, size }) => [keyOf(digest), String(lastUseMs), String(size)]),
    );
  }

  drop(keys: readonly Buffer[]): Promise<RedisCounts> {
    return this.#run(dropScript, keys);
  }

  settle(bytes: number): Promise<RedisCounts> {
    return this.#run(settleScript, [String(bytes)]);
  }

  /** All last uses, page by page; what changes meanwhile may come or not. */
  lastUses(): AsyncGenerator<readonly Row[]> {
    return this.#scan('zscan', this.#keys.lru);
  }

  /** All sizes, in the same way. */
  sizes(): AsyncGenerator<readonly Row[]> {
    return this.#scan('hscan', this.#keys.size);
  }

  /** The `count` least recently used with their last use, coldest first. */
  async coldest(count: number): Promise<readonly Row[]> {
    return pairs(await this.#redis.callBuffer('zrange', this.#keys.lru, 0, count - 1, 'WITHSCORES'));
  }

  /** Makes the copy of the pins this. */
  async setPins(digests: Iterable<Digest>): Promise<void> {
    await this.#redis.call('del', this.#keys.pin);
    const keys = Array.from(digests, keyOf);
    for (let at = 0; at < keys.length; at += pageSize)
      await this.#redis.call('sadd', this.#keys.pin, ...keys.slice(at, at + pageSize));
  }

  async *#scan(command: string, key: string): AsyncGenerator<readonly Row[]> {
    let cursor = '0';
    do {
      const reply = await this.#redis.callBuffer(command, key, cursor, 'COUNT', pageSize);
      const [next, rows] = Array.isArray(reply) ? reply : [];
      cursor = String(next);
      yield pairs(rows);
    } while (cursor !== '0');
  }

  async #run(script: Script, args: readonly Argument[]): Promise<RedisCounts> {
    const { lru, size, bytes } = this.#keys;
    const reply = await this.#redis.run(script, [lru, size, bytes], args);
    const [lastUses, sizes, sum] = Array.isArray(reply) ? reply : [];
    const number = Number(sum);
    return {
      lastUses: Number(lastUses),
      sizes: Number(sizes),
      bytes: Number.isSafeInteger(number) ? number : undefined,
    };
  }
}

function pairs(list: unknown): readonly Row[] {
  const flat: readonly unknown[] = Array.isArray(list) ? list : [];
  const rows: Row[] = [];
  for (let at = 0; at + 1 < flat.length; at += 2) {
    const key = flat[at];
    if (Buffer.isBuffer(key)) rows.push([key, String(flat[at + 1])]);
  }
  return rows;
}
