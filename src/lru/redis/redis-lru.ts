/**
 * The LRU index in Redis: what was used when survives a restart, and is there for others to see. The whole of it is also in
 * this process, compact, so a hit makes no round trip, sums and counts need none, and eviction goes on when Redis is away.
 * Uses are told to Redis once a second by `RedisCopy`; however many there are, that costs no memory.
 */
import type { Digest } from '../../oci/digest.ts';
import { digestOfKey } from '../index/digest-key.ts';
import { EmbeddedLru, type LoadableLru } from '../index/embedded-lru.ts';
import type { Lru, LruEntry } from '../lru.ts';
import { RedisCopy, type RedisCopyOptions } from './redis-copy.ts';
import type { RedisEntries } from './redis-entries.ts';

/** More than is asked for, because some of them may have been used within the last second. */
const moreEntries = 48;
const maxEntries = 4096;

export class RedisLru implements Lru, LoadableLru {
  readonly #local: EmbeddedLru;
  readonly #index: RedisEntries;
  readonly #copy: RedisCopy;

  constructor(options: Omit<RedisCopyOptions, 'local'>) {
    this.#local = new EmbeddedLru(options);
    this.#index = options.index;
    this.#copy = new RedisCopy({ ...options, local: this.#local });
  }

  get bytes(): number {
    return this.#local.bytes;
  }

  get count(): number {
    return this.#local.count;
  }

  /** Redis keeps it, as far as is known. False: eviction goes by what this process knows. */
  get isUp(): boolean {
    return this.#copy.isUp;
  }

  touch(digest: Digest): void {
    this.#local.touch(digest);
  }

  add(digest: Digest, size: number): void {
    this.#local.add(digest, size);
  }

  remove(digest: Digest): void {
    this.#local.remove(digest);
    this.#copy.removed(digest);
  }

  sizeOf(digest: Digest): number | undefined {
    return this.#local.sizeOf(digest);
  }

  /** By Redis, and by uses that it wasn't told of yet; without Redis by what this process knows. */
  async coldest(count: number): Promise<readonly LruEntry[]> {
    if (this.#copy.isInStep && count > 0) {
      try {
        const entries = await this.#coldestInRedis(count);
        if (entries !== undefined) return entries;
      } catch {
        // Whoever watches the connection says why; what is to go is known here too.
      }
    }
    return this.#local.coldest(count);
  }

  beginLoading(): void {
    this.#local.beginLoading();
  }

  load(entries: readonly LruEntry[]): void {
    this.#local.load(entries);
  }

  endLoading(): void {
    this.#local.endLoading();
    this.#copy.loaded();
  }

  /** Redis gets a copy of them, now or when it is back; the truth is on disk. */
  setPins(pinned: () => Iterable<Digest>): void {
    this.#copy.setPins(pinned);
  }

  /** Redis went or came back. */
  reachabilityChanged(): void {
    this.#copy.wake();
  }

  /** Resolves when Redis holds what this process does now. Errors: why it doesn't. */
  sync(): Promise<void> {
    return this.#copy.sync();
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.#copy.close();
  }

  /** Undefined: Redis has too few to say, because it wasn't told of everything yet. */
  async #coldestInRedis(count: number): Promise<readonly LruEntry[] | undefined> {
    await this.#copy.sendRemovals();
    for (let asked = count + moreEntries; asked <= maxEntries; asked *= 4) {
      const rows = await this.#index.coldest(asked);
      const isAll = rows.length < asked;
      if (isAll && rows.length !== this.count) return undefined;
      // Whatever isn't among these was used then or later; so was what was used since Redis was told.
      const lastMs = isAll ? Infinity : Number(rows.at(-1)?.[1]);
      const entries = rows
        .map(([key, text]) => this.#entry(digestOfKey(key), Number(text)))
        .filter(entry => entry !== undefined)
        .filter(entry => entry.lastUseMs <= lastMs)
        .sort((one, other) => one.lastUseMs - other.lastUseMs);
      if (isAll || entries.length >= count) return entries.slice(0, count);
    }
    return undefined;
  }

  /** Undefined for what isn't held: nothing is evicted on the word of Redis alone. */
  #entry(digest: Digest | undefined, lastUseMs: number): LruEntry | undefined {
    if (digest === undefined) return undefined;
    this.#local.raise(digest, lastUseMs); // by another process
    const use = this.#local.table.get(digest);
    return use?.size === undefined ? undefined : { digest, size: use.size, lastUseMs: use.lastUseMs };
  }
}
