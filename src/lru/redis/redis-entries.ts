/**
 * The LRU index of one store in Redis: `cistern:{STORE}:lru` (sorted set: digest to last use in ms), `size` (hash: digest to
 * bytes), `bytes` (their sum), `pin` (set of pinned digests). Digests are binary. The braces keep all keys on one node of a
 * Cluster. Every change is one atomic script for a batch of blobs and may be repeated. Errors: those of `RedisAccess`.
 */
import { createHash } from 'node:crypto';
import { type Digest, keyOf } from '../../oci/digest.ts';
import type { LruEntry } from '../lru.ts';

type Argument = string | number | Buffer;

export interface Script {
  readonly lua: string;
  /** SHA-1 of `lua`, in hex: what Redis knows it by. */
  readonly sha: string;
}

/** The commands of a connection. */
export interface RedisAccess {
  call(command: string, ...args: readonly Argument[]): Promise<unknown>;
  /** Replies with Buffers where it has text. */
  callBuffer(command: string, ...args: readonly Argument[]): Promise<unknown>;
  run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown>;
}

/** The sums in Redis. */
export interface RedisCounts {
  readonly lastUses: number;
  readonly sizes: number;
  /** Undefined: the value is not a number. */
  readonly bytes: number | undefined;
}

/** The binary key of a digest, and its value as text. */
export type Row = readonly [Buffer, string];

const types = { lru: 'zset', size: 'hash', bytes: 'string', pin: 'set' } as const;
/** Rows per page: parsing one takes a millisecond or two. */
const pageSize = 500;

/** Every script takes the keys `lru`, `size`, `bytes`, and answers the number of last uses, of sizes, and `bytes`. */
function script(body: string): Script {
  const lua = `${body}
return {redis.call('ZCARD', KEYS[1]), redis.call('HLEN', KEYS[2]), redis.call('GET', KEYS[3]) or '0'}`;
  return { lua, sha: createHash('sha1').update(lua).digest('hex') };
}

/** Held blobs: digest, last use, size, digest, last use, size … A last use never goes back. Without any it only reads. */
const putScript = script(`local grown = 0
for i = 1, #ARGV, 3 do
  redis.call('ZADD', KEYS[1], 'GT', ARGV[i + 1], ARGV[i])
  local before = redis.call('HGET', KEYS[2], ARGV[i])
  if before ~= ARGV[i + 2] then
    redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 2])
    grown = grown + tonumber(ARGV[i + 2]) - (tonumber(before or '0') or 0)
  end
end
if grown ~= 0 then redis.call('INCRBY', KEYS[3], string.format('%.0f', grown)) end`);

/** Digests whose files are gone. */
const dropScript = script(`local shrunk = 0
for i = 1, #ARGV do
  redis.call('ZREM', KEYS[1], ARGV[i])
  local before = redis.call('HGET', KEYS[2], ARGV[i])
  if before then
    redis.call('HDEL', KEYS[2], ARGV[i])
    shrunk = shrunk + (tonumber(before) or 0)
  end
end
if shrunk ~= 0 then redis.call('DECRBY', KEYS[3], string.format('%.0f', shrunk)) end`);

/** The sum of all sizes, as it must be after a reconciliation. */
const settleScript = script(`redis.call('SET', KEYS[3], ARGV[1])`);

export class RedisEntries {
  readonly #redis: RedisAccess;
  readonly #keys: Readonly<Record<keyof typeof types, string>>;

  constructor(redis: RedisAccess, storeId: string) {
    this.#redis = redis;
    const keyFor = (name: string): string => `cistern:{${storeId}}:${name}`;
    this.#keys = { lru: keyFor('lru'), size: keyFor('size'), bytes: keyFor('bytes'), pin: keyFor('pin') };
  }

  /** Errors: a key of this store has another type; the message names key and type. */
  async check(): Promise<void> {
    for (const [name, key] of Object.entries(this.#keys)) {
      const type = String(await this.#redis.call('type', key));
      const expected = Object.entries(types).find(([known]) => known === name)?.[1];
      if (type !== 'none' && type !== expected)
        throw new Error(`Redis holds foreign data: ${key} is a ${type} and not a ${expected}`);
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

  /** All last uses, page by page. Entries that change meanwhile may be missing. */
  lastUses(): AsyncGenerator<readonly Row[]> {
    return this.#scan('zscan', this.#keys.lru);
  }

  /** All sizes, page by page like `lastUses`. */
  sizes(): AsyncGenerator<readonly Row[]> {
    return this.#scan('hscan', this.#keys.size);
  }

  /** The `count` least recently used with their last use, coldest first. */
  async coldest(count: number): Promise<readonly Row[]> {
    return pairs(await this.#redis.callBuffer('zrange', this.#keys.lru, 0, count - 1, 'WITHSCORES'));
  }

  /** Replaces the copy of the pins. */
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
