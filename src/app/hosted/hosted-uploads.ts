/**
 * Uploads, mounts and adoption of the private registry, put together over the store, the log and what the cache may give to any client.
 */
import type { PullThroughCache } from '../../cached/pull-through-cache.ts';
import type { BlobHolds } from '../../content/blob-holds.ts';
import { Adoption } from '../../hosted/adoption.ts';
import { BlobLinks } from '../../hosted/blob-links.ts';
import type { HostedLog } from '../../hosted/log/hosted-log.ts';
import type { Quotas } from '../../hosted/put-manifest.ts';
import { Mounts } from '../../hosted/uploads/mounts.ts';
import { Uploads } from '../../hosted/uploads/uploads.ts';
import { UploadMetrics } from '../../metrics/upload-metrics.ts';
import type { Digest } from '../../oci/digest.ts';
import { readBootId } from '../../store/ingest/journal.ts';
import { UploadFiles } from '../../store/uploads/upload-files.ts';
import type { AppContext } from '../app-context.ts';
import type { Storage } from '../storage.ts';

/** A link is renewed at most so often, and well within `gc_grace`. */
const renewEveryMs = 60 * 60_000;
const renewShare = 1 / 10;

export interface UploadParts {
  readonly log: HostedLog;
  readonly holds: BlobHolds;
  readonly quotas: Quotas;
  /** Errors: UNAVAILABLE. */
  requireWritable(): void;
}

export interface OpenedUploads {
  readonly uploads: Uploads;
  readonly adoption: Adoption;
}

export async function openUploads(
  cache: PullThroughCache,
  { layout, store, lru, capacity }: Storage,
  { log, holds, quotas, requireWritable }: UploadParts,
  { config, lifecycle, metrics, logger, now }: AppContext,
): Promise<OpenedUploads> {
  const sizeOf = (digest: Digest) => cache.content.files.sizeOf(digest);
  const publicSize = (digest: Digest) => cache.publicSize(digest);
  const links = new BlobLinks({ log, holds, store, sizeOf, quotas, now });
  const { uploadTtlMs, gcGraceMs } = config.hosted;
  const files = new UploadFiles({ layout, observer: metrics, bootId: await readBootId() });
  const observer = new UploadMetrics(metrics.registry);
  const uploads = await lifecycle.start(
    'uploads',
    () =>
      new Uploads({
        files,
        store,
        log,
        links,
        mounts: new Mounts({ log, links, sizeOf, publicSize, logger }),
        room: capacity.uploads,
        ttlMs: uploadTtlMs,
        observer,
        logger,
        orphaned: (digest, size) => lru.add(digest, size),
        now,
      }),
    part => part.close(),
  );
  const freshMs = Math.min(renewEveryMs, gcGraceMs * renewShare);
  return { uploads, adoption: new Adoption({ links, publicSize, requireWritable, freshMs, logger, now }) };
}
