/**
 * The LRU index in this process, for one node without Redis. Every operation is O(1); nothing is written: after a restart
 * the index is rebuilt from the mtimes of the blob files, behind serving.
 *
 * `lru-cache` does the ordering and nothing else. It insists on a bound, so it is given a default ttl, which each `set`
 * then switches off (`ttl: 0` starts no timer and expires nothing; `ttlAutopurge` silences its warning about having no
 * bound). `max` would evict by itself and preallocate; `maxSize` would evict by itself; `dump()` is quadratic.
 *
 * It can't insert at the cold end. So there are two orders: `#live` is what was used since the start, `#loaded` what a
 * rebuild found; the second as a whole is colder than the first, and an entry that is used moves over.
 */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';
import type { Lru, LruEntry } from './lru.ts';

interface Use {
  /** Bytes; undefined: used while loading, before its file was found. Not counted, and not evictable yet. */
  size: number | undefined;
  lastUseMs: number;
}

type Order = LRUCache<Digest, Use>;

/** What a rebuild needs. Calls come as `beginLoading`, any number of `load`, `endLoading`. */
export interface LoadableLru {
  /** From here on, uses and removals of digests not loaded yet are remembered, for they win over what is loaded. */
  beginLoading(): void;
  /** Entries colder than all live ones, and hotter than those loaded before. Coldest first. Known digests keep their place. */
  load(entries: readonly LruEntry[]): void;
  endLoading(): void;
}

export class EmbeddedLru implements Lru, LoadableLru {
  readonly #now: () => number;
  readonly #live = createOrder();
  readonly #loaded = createOrder();
  /** Digests removed while loading: a scan may have seen their files before. Undefined: not loading. */
  #removed: Set<Digest> | undefined;
  /** Live entries without a size. */
  #unsized = 0;
  #bytes = 0;

  constructor(options: { readonly now: () => number }) {
    this.#now = options.now;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#live.size - this.#unsized + this.#loaded.size;
  }

  touch(digest: Digest): void {
    const live = this.#live.get(digest); // moves it to the hot end
    if (live !== undefined) {
      live.lastUseMs = this.#now();
      return;
    }
    const loaded = this.#loaded.peek(digest);
    if (loaded !== undefined) {
      this.#loaded.delete(digest);
      this.#place(digest, loaded.size);
    } else if (this.#removed?.has(digest) === false) {
      this.#unsized += 1;
      this.#place(digest, undefined);
    }
  }

  add(digest: Digest, size: number): void {
    this.#forget(digest);
    this.#removed?.delete(digest);
    this.#bytes += size;
    this.#place(digest, size);
  }

  remove(digest: Digest): void {
    this.#forget(digest);
    this.#removed?.add(digest);
  }

  /** Walks only as far as it must. */
  coldest(count: number): Promise<readonly LruEntry[]> {
    const found: LruEntry[] = [];
    for (const order of [this.#loaded, this.#live]) {
      for (const digest of order.rkeys()) {
        if (found.length >= count) break;
        const use = order.peek(digest);
        if (use?.size !== undefined) found.push({ digest, size: use.size, lastUseMs: use.lastUseMs });
      }
    }
    return Promise.resolve(found);
  }

  beginLoading(): void {
    this.#removed ??= new Set();
  }

  load(entries: readonly LruEntry[]): void {
    for (const { digest, size, lastUseMs } of entries) {
      if (this.#removed?.has(digest) === true || this.#loaded.has(digest)) continue;
      const live = this.#live.peek(digest);
      if (live === undefined) {
        this.#loaded.set(digest, { size, lastUseMs }, { ttl: 0 });
      } else if (live.size === undefined) {
        live.size = size; // it was used meanwhile: it keeps the place and the time of that use
        this.#unsized -= 1;
      } else {
        continue;
      }
      this.#bytes += size;
    }
  }

  /** Drops what was used while loading and turned out to be no blob of ours. */
  endLoading(): void {
    this.#removed = undefined;
    if (this.#unsized === 0) return;
    const unknown: Digest[] = [];
    for (const digest of this.#live.rkeys()) {
      if (this.#live.peek(digest)?.size === undefined) unknown.push(digest);
    }
    for (const digest of unknown) this.#forget(digest);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #place(digest: Digest, size: number | undefined): void {
    this.#live.set(digest, { size, lastUseMs: this.#now() }, { ttl: 0 });
  }

  #forget(digest: Digest): void {
    for (const order of [this.#live, this.#loaded]) {
      const use = order.peek(digest);
      if (use === undefined) continue;
      order.delete(digest);
      if (use.size === undefined) this.#unsized -= 1;
      else this.#bytes -= use.size;
    }
  }
}

function createOrder(): Order {
  return new LRUCache<Digest, Use>({ ttl: 1, ttlAutopurge: true });
}
