/**
 * The LRU index in this process, for one node without Redis. Nothing is written: after a restart the index is rebuilt from
 * the mtimes of the blob files, behind serving.
 *
 * Order is by time of last use, and no two uses have the same time: each is later than the one before it, whatever the
 * clock does. A list (as in `lru-cache`) would take 560 MB for a million blobs, and 50 ms at once while it grows; this
 * takes a sixth, and no step of it longer than a millisecond or so.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Lru, LruEntry } from '../lru.ts';
import { ColdQueue } from './cold-queue.ts';
import { UseTable } from './use-table.ts';

/** What a rebuild needs. Calls come as `beginLoading`, any number of `load`, `endLoading`. */
export interface LoadableLru {
  /** From here on, uses and removals of digests not loaded yet are remembered, for they win over what is loaded. */
  beginLoading(): void;
  /** Entries colder than all that were used since `beginLoading`, in any order. Known digests keep their place. */
  load(entries: readonly LruEntry[]): void;
  endLoading(): void;
}

/** Times are multiples of it, so that a use in the same millisecond is later than the one before. A double holds it. */
const tickMs = 1 / 1024;

export class EmbeddedLru implements Lru, LoadableLru {
  /** For the copy in Redis. */
  readonly table = new UseTable();
  readonly #now: () => number;
  readonly #queue = new ColdQueue(this.table);
  /** Digests removed while loading: a scan may have seen their files before. Undefined: not loading. */
  #removed: Set<Digest> | undefined;
  #loadedBeforeMs = Infinity;
  #lastUseMs = -Infinity;

  constructor(options: { readonly now: () => number }) {
    this.#now = options.now;
  }

  get bytes(): number {
    return this.table.bytes;
  }

  get count(): number {
    return this.table.count;
  }

  touch(digest: Digest): void {
    const lastUseMs = this.#use();
    if (!this.table.touch(digest, lastUseMs) && this.#removed?.has(digest) === false)
      this.table.set(digest, undefined, lastUseMs);
  }

  add(digest: Digest, size: number): void {
    this.#removed?.delete(digest);
    this.table.set(digest, size, this.#use());
  }

  remove(digest: Digest): void {
    this.table.delete(digest);
    this.#removed?.add(digest);
  }

  sizeOf(digest: Digest): number | undefined {
    return this.table.get(digest)?.size;
  }

  coldest(count: number): Promise<readonly LruEntry[]> {
    return this.#queue.coldest(count);
  }

  beginLoading(): void {
    this.#removed ??= new Set();
    this.#loadedBeforeMs = this.#use();
  }

  load(entries: readonly LruEntry[]): void {
    for (const { digest, size, lastUseMs } of entries) {
      if (this.#removed?.has(digest) === true) continue;
      const known = this.table.get(digest);
      if (known?.size !== undefined) continue;
      // What was used meanwhile keeps the time of that use; a file from the future is no hotter than that.
      this.table.set(digest, size, known?.lastUseMs ?? Math.min(lastUseMs, this.#loadedBeforeMs));
    }
    this.#queue.invalidate();
  }

  /** Drops what was used while loading and turned out to be no blob of ours. */
  endLoading(): void {
    this.#removed = undefined;
    this.table.deleteUnsized();
  }

  /** Somebody else knows of a later use. Nothing happens for an unknown one. */
  raise(digest: Digest, lastUseMs: number): void {
    const known = this.table.get(digest);
    if (known === undefined || known.lastUseMs >= lastUseMs) return;
    this.table.touch(digest, Math.min(lastUseMs, this.#use()));
    this.#queue.invalidate();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #use(): number {
    this.#lastUseMs = Math.max(Math.round(this.#now() / tickMs) * tickMs, this.#lastUseMs + tickMs);
    return this.#lastUseMs;
  }
}
