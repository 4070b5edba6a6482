/**
 * A bounded map whose entries expire. When it is full, the entry that was set longest ago goes. An entry whose age is negative, because the
 * clock was set back, counts as expired.
 */
import { LRUCache } from 'lru-cache';

export interface ExpiringMapOptions {
  readonly maxEntries: number;
  readonly ttlMs: number;
  /** Milliseconds since the epoch. */
  now(): number;
}

interface Entry<Value> {
  readonly value: Value;
  readonly setAtMs: number;
  readonly ttlMs: number;
}

export class ExpiringMap<Key extends string, Value> {
  readonly #options: ExpiringMapOptions;
  /** Made at the first `set`: lru-cache allocates its room for all entries at once. */
  #entries: LRUCache<Key, Entry<Value>> | undefined;

  constructor(options: ExpiringMapOptions) {
    this.#options = options;
  }

  /** `ttlMs` instead of the map's own. */
  set(key: Key, value: Value, ttlMs = this.#options.ttlMs): void {
    this.#entries ??= new LRUCache({ max: this.#options.maxEntries });
    this.#entries.set(key, { value, setAtMs: this.#options.now(), ttlMs });
  }

  /** Undefined once the entry has expired, although `getExpired` may still find it. */
  get(key: Key): Value | undefined {
    const entry = this.#entries?.peek(key);
    return entry !== undefined && this.#isFresh(entry) ? entry.value : undefined;
  }

  has(key: Key): boolean {
    return this.get(key) !== undefined;
  }

  /** The entry whether it has expired or not, for as long as there is room for it. */
  getExpired(
    key: Key,
  ): { readonly value: Value; readonly setAtMs: number; readonly isFresh: boolean } | undefined {
    const entry = this.#entries?.peek(key);
    return entry === undefined
      ? undefined
      : { value: entry.value, setAtMs: entry.setAtMs, isFresh: this.#isFresh(entry) };
  }

  delete(key: Key): void {
    this.#entries?.delete(key);
  }

  deleteWhere(matches: (value: Value, key: Key) => boolean): void {
    for (const [key, entry] of this.#entries ?? []) if (matches(entry.value, key)) this.#entries?.delete(key);
  }

  clear(): void {
    this.#entries = undefined;
  }

  #isFresh({ setAtMs, ttlMs }: Entry<Value>): boolean {
    const ageMs = this.#options.now() - setAtMs;
    return ageMs >= 0 && ageMs < ttlMs;
  }
}
