/**
 * Fills the LRU index from the files on disk: the last use of a blob is the mtime of its file. It runs in slices while
 * requests are served; uses, additions and removals during the scan win over what the scan saw.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { LoadableLru, LruEntry } from '../lru.ts';

/** A file as the store's scan gives it. */
export interface FoundBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly mtimeMs: number;
}

export interface RebuildOptions {
  /** May miss files that are written while it runs: their writers add them to the index. */
  readonly scan: AsyncIterable<FoundBlob>;
  /** Manifests are never evicted, so they are not in the index. */
  isManifest(digest: Digest): boolean;
  readonly lru: LoadableLru;
  /** Milliseconds; how long a slice may last is measured with it. */
  now(): number;
  readonly signal: AbortSignal;
}

/** Counts and sums in bytes. The caller accounts `manifestBytes`. */
export interface Rebuilt {
  readonly blobs: number;
  readonly blobBytes: number;
  readonly manifests: number;
  readonly manifestBytes: number;
}

const sliceMs = 10;
/** Few, so that a slice overruns only a little. */
const entriesPerLoad = 256;

/**
 * Call it before the first request is served: uses are remembered from its first line on.
 * Errors: the signal's reason; those of the scan. The index keeps what was loaded until then.
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
