/**
 * The LRU index: recency and size of every evictable blob. Implementations: embedded (this process), later Redis.
 * It may be lost at any time: the blob files' mtimes rebuild it. Manifests and hosted content are not in it.
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
  /** Bytes, as far as this process knows without asking anybody; undefined: it doesn't. Synchronous, no use. */
  sizeOf(digest: Digest): number | undefined;
  /** Sum of all sizes, in bytes. */
  readonly bytes: number;
  readonly count: number;
  close(): Promise<void>;
}
