/**
 * The private registry, put together over the store and what the cache holds. Absent where `hosted.repositories` names nothing.
 */

import type { PullThroughCache } from '../../cached/pull-through-cache.ts';
import type { BlobHolds } from '../../content/blob-holds.ts';
import { Collector } from '../../hosted/gc/collector.ts';
import { HostedBlobs } from '../../hosted/hosted-blobs.ts';
import { HostedCatalog } from '../../hosted/hosted-catalog.ts';
import { HostedDeletes } from '../../hosted/hosted-deletes.ts';
import { HostedLists } from '../../hosted/hosted-lists.ts';
import { HostedManifests } from '../../hosted/hosted-manifests.ts';
import { HostedRegistry } from '../../hosted/hosted-registry.ts';
import { ImmutableTags } from '../../hosted/immutable-tags.ts';
import type { HostedLog } from '../../hosted/log/hosted-log.ts';
import { PullTimes } from '../../hosted/pull-times.ts';
import { ManifestPuts } from '../../hosted/put-manifest.ts';
import { ReadOnly } from '../../hosted/read-only.ts';
import type { Uploads } from '../../hosted/uploads/uploads.ts';
import { CollectionMetrics } from '../../metrics/collection-metrics.ts';
import { HUB, hostRepositories } from '../../oci/name.ts';
import type { HostedEntry } from '../../registry/directory.ts';
import type { RepositoryCatalog } from '../../registry/registry.ts';
import type { AppContext } from '../app-context.ts';
import { HourlyJob } from '../ops/hourly-job.ts';
import type { Storage } from '../storage.ts';
import { openUploads } from './hosted-uploads.ts';

export interface OpenedHosted extends HostedEntry {
  readonly registry: HostedRegistry;
  readonly log: HostedLog;
  readonly holds: BlobHolds;
  /** Of hosted and mirrored repositories. */
  readonly catalog: RepositoryCatalog;
  isHosted(name: string): boolean;
  requireWritable(): void;
  readonly readOnly: ReadOnly;
  readonly collector: Collector;
  readonly uploads: Pick<Uploads, 'progress'>;
  /** Of what goes, by a collection or by a retention. */
  readonly observer: CollectionMetrics;
  /** Pulls that are not in the log yet are written to it. */
  flushPulls(): Promise<void>;
}

export async function openHosted(
  cache: PullThroughCache,
  storage: Storage,
  context: AppContext,
): Promise<OpenedHosted | undefined> {
  const { config, logger, now } = context;
  const { store, lru, lastUses, owners } = storage;
  const { repositories, immutable: immutablePatterns } = config.hosted;
  if (repositories.length === 0) return undefined;
  const { log, holds, quotas } = storage.hosted;
  const isHosted = hostRepositories(repositories);
  const { files, manifests } = cache.content;
  const immutable = new ImmutableTags(immutablePatterns);
  const touch = (digest: Parameters<typeof lru.touch>[0]): void => {
    lru.touch(digest);
    lastUses.touch(digest);
  };
  const readOnly = new ReadOnly(config.hosted.readOnly);
  const requireWritable = () => readOnly.requireWritable();
  const pullTimes = await context.lifecycle.start(
    'times of pulls',
    () => new PullTimes({ log, logger, now }),
    part => part.flush(),
  );
  const uploadParts = { log, holds, quotas, requireWritable };
  const { uploads, adoption } = await openUploads(cache, storage, uploadParts, context);
  const registry = new HostedRegistry({
    isHosted,
    requireWritable,
    manifests: new HostedManifests({
      log,
      manifests,
      pullTimes,
      renew: (name, link, options) => adoption.renew(name, link, options),
    }),
    blobs: new HostedBlobs({
      log,
      files,
      touch,
      adopt: (name, digest, options) => adoption.adopt(name, digest, options),
      renew: (name, link, options) => adoption.renew(name, link, options),
    }),
    lists: new HostedLists(log),
    uploads,
    puts: new ManifestPuts({
      log,
      store,
      files,
      manifests,
      holds,
      immutable,
      quotas,
      publicSize: digest => cache.publicSize(digest),
      orphaned: (digest, bytes) => owners.lost(digest, bytes),
      now,
    }),
    deletes: new HostedDeletes({ log, immutable, now }),
  });
  const { references } = storage.hosted;
  const sample = () => ({ bytes: references.bytes, repositories: log.names().length });
  const observer = new CollectionMetrics(context.metrics.registry, sample);
  const collector = await startCollection(storage, { readOnly, pullTimes, observer }, context);
  const catalog = new HostedCatalog({ log, complete: log.complete, isHosted, mirrored: cache.catalog });
  sayShadowed(context);
  return {
    patterns: repositories,
    registry,
    log,
    holds,
    catalog,
    isHosted,
    requireWritable,
    readOnly,
    collector,
    uploads,
    observer,
    flushPulls: () => pullTimes.flush(),
  };
}

/** Clients that name no registry (dockerd) can't have these of the default upstream any more. */
function sayShadowed({ config, logger }: AppContext): void {
  const { defaultUpstream, hosted } = config;
  if (defaultUpstream === undefined) return;
  const shadowed = hosted.repositories.map(pattern => {
    const isOfficial = defaultUpstream === HUB && !pattern.includes('/') && !pattern.includes('**');
    return `${defaultUpstream}/${isOfficial ? 'library/' : ''}${pattern}`;
  });
  logger.info('hosted names go before those of the default upstream for clients that send no ns', {
    shadowed,
  });
}

/** After the first retention. */
const collectionAfterMs = 10 * 60_000;

interface CollectionParts {
  readonly readOnly: ReadOnly;
  readonly pullTimes: PullTimes;
  readonly observer: CollectionMetrics;
}

/** The collection of every hour, and the one that a command asks for. */
async function startCollection(
  { hosted, owners }: Storage,
  { readOnly, pullTimes, observer }: CollectionParts,
  { config, lifecycle, logger, now }: AppContext,
): Promise<Collector> {
  const { log, references } = hosted;
  const { gcGraceMs: graceMs, undeleteMs, untaggedTtlMs } = config.hosted;
  const collector = new Collector({
    log,
    references,
    owners,
    policy: { graceMs, undeleteMs, untaggedTtlMs },
    flushPulls: () => pullTimes.flush(),
    observer,
    logger,
    now,
  });
  await lifecycle.start(
    'collection of hosted repositories',
    () =>
      new HourlyJob({
        firstAfterMs: collectionAfterMs,
        // while the registry is read-only its store may be being copied
        run: async signal => {
          if (readOnly.state === false) await collector.collect({ dryRun: false }, signal);
        },
        failureMessage: 'hosted repositories were not collected',
        logger,
      }),
    part => part.close(),
  );
  return collector;
}
