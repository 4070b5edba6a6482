/**
 * Fills the index from what lies on disk: last use is the mtime of the blob's file. Runs behind serving, in slices, and
 * what is used, added or removed meanwhile wins over what the scan saw.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { LruEntry } from '../lru.ts';
import type { LoadableLru } from './embedded-lru.ts';

/** A file as the store's scan gives it. */
export interface FoundBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly mtimeMs: number;
}

export interface RebuildOptions {
  /** May leave out what is written while it runs: that is added by those who write. */
  readonly scan: AsyncIterable<FoundBlob>;
  /** Manifests are never evicted, so they don't enter the index. */
  isManifest(digest: Digest): boolean;
  readonly lru: LoadableLru;
  /** Milliseconds; how long a slice may last is measured with it. */
  now(): number;
  readonly signal: AbortSignal;
}

/** Counts and sums, in bytes; `manifestBytes` is for the caller to account. */
export interface Rebuilt {
  readonly blobs: number;
  readonly blobBytes: number;
  readonly manifests: number;
  readonly manifestBytes: number;
}

const sliceMs = 10;
/** Small enough that a slice overruns by little. */
const entriesPerLoad = 256;

/**
 * Call it before the first request is served: from its first line on, uses are remembered.
 * Errors: the signal's reason; whatever the scan throws. The index holds then what was loaded.
 */
export async function rebuildLru(options: RebuildOptions): Promise<Rebuilt> {
  const { lru, now, signal } = options;
  lru.beginLoading();
  try {
    const sums = { blobs: 0, blobBytes: 0, manifests: 0, manifestBytes: 0 };
    let batch: LruEntry[] = [];
    let sliceEnd = now() + sliceMs;
    for await (const { digest, size, mtimeMs } of options.scan) {
      signal.throwIfAborted();
      if (options.isManifest(digest)) {
        sums.manifests += 1;
        sums.manifestBytes += size;
        continue;
      }
      sums.blobs += 1;
      sums.blobBytes += size;
      batch.push({ digest, size, lastUseMs: mtimeMs });
      if (batch.length < entriesPerLoad) continue;
      lru.load(batch);
      batch = [];
      if (now() < sliceEnd) continue;
      await nextTurn();
      sliceEnd = now() + sliceMs;
    }
    signal.throwIfAborted();
    lru.load(batch);
    return sums;
  } finally {
    lru.endLoading();
  }
}
