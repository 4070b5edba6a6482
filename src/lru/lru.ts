/**
 * The LRU index: recency and size of every evictable blob. Implementations: `EmbeddedLru` and `RedisLru`. It may be lost at
 * any time: the mtimes of the blob files rebuild it. Manifests and hosted content are not in it.
 */
import type { Digest } from '../oci/digest.ts';

export interface LruEntry {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly lastUseMs: number;
}

export interface Lru {
  /** Marks a use. Synchronous, no I/O; unknown digests are ignored. */
  touch(digest: Digest): void;
  /** A blob was committed; counts as a use. */
  add(digest: Digest, size: number): void;
  /** The blob's file is gone. */
  remove(digest: Digest): void;
  /** The `count` least recently used, coldest first. */
  coldest(count: number): Promise<readonly LruEntry[]>;
  /** Bytes, from this process's memory; undefined: unknown. Synchronous, does not count as a use. */
  sizeOf(digest: Digest): number | undefined;
  /** Milliseconds since the epoch, as `sizeOf`. */
  lastUseOf(digest: Digest): number | undefined;
  /** Sum of all sizes, in bytes. */
  readonly bytes: number;
  readonly count: number;
  close(): Promise<void>;
}

/** The calls of a rebuild, in this order: `beginLoading`, any number of `load`, `endLoading`. */
export interface LoadableLru {
  /** From here on, uses and removals of digests that are not loaded yet are remembered: they win over loaded entries. */
  beginLoading(): void;
  /** Entries colder than every use since `beginLoading`, in any order. Known digests keep their place. */
  load(entries: readonly LruEntry[]): void;
  endLoading(): void;
}
