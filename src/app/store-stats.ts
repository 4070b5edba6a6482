/** What `stats` says of a store that no daemon has: counted now, file by file. */
import type { StatsReport } from '../admin/admin.ts';
import { computeLimit } from '../capacity/limit.ts';
import type { Config } from '../config/config.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import { sumPartials } from '../store/ingest/sweep.ts';
import type { StoreLayout } from '../store/layout.ts';
import type { PinnedBlobs } from '../store/records/pinned-blobs.ts';
import type { Records } from '../store/records/records.ts';
import { readVersion } from '../version.ts';

export interface StoreStatsParts {
  readonly config: Pick<Config, 'store'>;
  readonly layout: StoreLayout;
  readonly store: BlobStore;
  readonly records: Records;
  readonly pins: PinnedBlobs;
}

/** After the pins were loaded. Errors: `StoreError`. */
export async function readStoreStats(parts: StoreStatsParts): Promise<StatsReport> {
  const { config, layout, store, records, pins } = parts;
  const manifests = new Set<Digest>();
  for await (const name of records.names())
    for (const { digest } of (await records.open(name)).manifests()) manifests.add(digest);
  const partialBytes = await sumPartials(layout);
  let [bytes, blobs] = [partialBytes, 0];
  for await (const { digest, size } of store.scan()) {
    bytes += size;
    if (!manifests.has(digest)) blobs += 1;
  }
  const { free, total } = await store.freeBytes();
  const limit = computeLimit(config.store, { free, total, onDisk: bytes });
  return {
    version: await readVersion(),
    store: {
      path: layout.path,
      bytes,
      blobs,
      limitBytes: Number.isFinite(limit.bytes) ? limit.bytes : null,
      limitReason: limit.reason,
      freeBytes: free,
      partialBytes,
      pinnedBytes: pins.bytes,
      scanned: true,
    },
    daemon: null,
  };
}
