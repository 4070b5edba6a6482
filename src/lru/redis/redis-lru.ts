/**
 * The LRU index in Redis, so that last uses survive a restart. All of it is in this process too: a hit makes no round trip,
 * sums and counts need none, and eviction goes on while Redis is away. `RedisCopy` sends the uses once a second.
 */
import { type Digest, digestOfKey } from '../../oci/digest.ts';
import { EmbeddedLru, type EmbeddedLruOptions } from '../index/embedded-lru.ts';
import type { LruEntry } from '../lru.ts';
import { type PinSource, RedisCopy, type RedisCopyOptions } from './redis-copy.ts';
import type { RedisEntries } from './redis-entries.ts';

/** Read in addition, because some entries may have been used within the last second. */
const moreEntries = 48;
const maxEntries = 4096;

export class RedisLru extends EmbeddedLru {
  readonly #index: RedisEntries;
  readonly #copy: RedisCopy;

  constructor(options: RedisCopyOptions & Pick<EmbeddedLruOptions, 'mayHold'>) {
    super(options);
    this.#index = options.index;
    this.#copy = new RedisCopy(this, options);
  }

  /** False: Redis is away or fails, and eviction goes by this process alone. */
  get isUp(): boolean {
    return this.#copy.isUp;
  }

  override remove(digest: Digest): void {
    super.remove(digest);
    this.#copy.removed(digest);
  }

  /** From Redis together with the uses that were not sent yet; without Redis from this process alone. */
  override async coldest(count: number): Promise<readonly LruEntry[]> {
    if (this.#copy.isInStep && count > 0) {
      try {
        const entries = await this.#coldestInRedis(count);
        if (entries !== undefined) return entries;
      } catch {
        // The connection logs why. This process knows the coldest too.
      }
    }
    return super.coldest(count);
  }

  override endLoading(): void {
    super.endLoading();
    this.#copy.loaded();
  }

  /** Redis gets a copy of them, now or when it is back. The records on disk decide. */
  setPins(pins: PinSource): void {
    this.#copy.setPins(pins);
  }

  pinsChanged(): void {
    this.#copy.pinsChanged();
  }

  /** The connection was lost or came back. */
  reachabilityChanged(): void {
    this.#copy.wake();
  }

  /** Resolves when Redis holds what this process holds now. Errors: why it can't. */
  sync(): Promise<void> {
    return this.#copy.sync();
  }

  /** Idempotent. */
  override close(): Promise<void> {
    return this.#copy.close();
  }

  /** Undefined: the copy in Redis is incomplete. */
  async #coldestInRedis(count: number): Promise<readonly LruEntry[] | undefined> {
    await this.#copy.sendRemovals();
    for (let asked = count + moreEntries; asked <= maxEntries; asked *= 4) {
      const rows = await this.#index.coldest(asked);
      const isAll = rows.length < asked;
      if (isAll && rows.length !== this.count) return undefined;
      // Entries outside these rows were used at `lastMs` or later; so were those used since the last send.
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

  /** Undefined for a blob that is not held: Redis alone never decides an eviction. */
  #entry(digest: Digest | undefined, lastUseMs: number): LruEntry | undefined {
    if (digest === undefined) return undefined;
    this.raise(digest, lastUseMs); // by another process
    const use = this.table.get(digest);
    return use?.size === undefined ? undefined : { digest, size: use.size, lastUseMs: use.lastUseMs };
  }
}
