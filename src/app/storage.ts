/**
 * What the mirror holds and how much it may hold: the store on disk, its records, the LRU index and the capacity. The
 * lifecycle closes each part in the reverse order.
 */
import { Links } from '../cached/access/links.ts';
import { Downloads } from '../cached/download/downloads.ts';
import { Capacity } from '../capacity/capacity.ts';
import { RecentEvictions } from '../capacity/recent-evictions.ts';
import { ContentOwners } from '../content/content-owners.ts';
import { TokenBucket } from '../lib/token-bucket.ts';
import { systemTimers, wait } from '../lib/wait.ts';
import type { Digest } from '../oci/digest.ts';
import type { RedisConnection } from '../redis/redis-connection.ts';
import { BlobStore } from '../store/blobs/blob-store.ts';
import { LastUseWriter } from '../store/blobs/held-blob.ts';
import { Quarantine } from '../store/blobs/quarantine.ts';
import { findPartial, removePartial } from '../store/ingest/sweep.ts';
import type { StoreLayout } from '../store/layout.ts';
import { PinnedBlobs } from '../store/records/pinned-blobs.ts';
import { Records } from '../store/records/records.ts';
import { UnusedRecords } from '../store/records/unused-records.ts';
import type { AppContext } from './app-context.ts';
import { HostedContent } from './hosted/hosted-log.ts';
import { type OpenedLru, openLru } from './open-lru.ts';

export interface Storage {
  readonly layout: StoreLayout;
  readonly store: BlobStore;
  readonly quarantine: Quarantine;
  readonly lru: OpenedLru['lru'];
  readonly lruState: OpenedLru['state'];
  readonly downloads: Downloads;
  readonly records: Records;
  readonly pins: PinnedBlobs;
  readonly links: Links;
  readonly lastUses: LastUseWriter;
  readonly capacity: Capacity;
  readonly hosted: HostedContent;
  /** Whether the cache or the private registry counts a file. */
  readonly owners: ContentOwners;
  readonly evictions: RecentEvictions;
}

/** Bad files kept for inspection may take so much of the limit. */
const maxQuarantineBytes = 256 * 1024 * 1024;
const maxQuarantineShare = 1 / 16;
/** Of what a collection has unlinked: a disk of many small files still serves pulls meanwhile. */
const unlinkRate = { perSecond: 200, burst: 400 };

/**
 * Of the store, reads the logs of hosted repositories in the background, and nothing else yet. `redis`: the mirror's connection, when Redis is configured. Errors: `ConfigError` for a
 * required Redis that can't hold the index.
 */
export async function openStorage(
  layout: StoreLayout,
  redis: RedisConnection | undefined,
  context: AppContext,
): Promise<Storage> {
  const { logger, lifecycle, metrics, now } = context;
  const store = new BlobStore({ layout, observer: metrics });
  const hosted = await lifecycle.start(
    'hosted repositories',
    () => new HostedContent(layout, context),
    part => part.log.close(),
  );
  const { digests } = hosted.references;
  const isHosted = (digest: Digest) => digests.has(digest);
  const index = await openLru(layout.id, redis, digest => !isHosted(digest), context);
  const pins = new PinnedBlobs({ store, logger, onChange: () => index.pinsChanged() });
  index.setPins(pins);
  const records = await lifecycle.start(
    'records',
    () =>
      new Records({
        layout,
        observer: metrics,
        logger,
        now,
        listener: pins,
      }),
    part => part.close(),
  );
  const lastUses = await lifecycle.start(
    'last uses',
    () => new LastUseWriter({ store, lru: index.lru, logger, now }),
    part => part.close(),
  );
  const evictions = new RecentEvictions(now);
  const downloads = new Downloads({ started: digest => evictions.fetched(digest) });
  const links = new Links();
  const unlinks = new TokenBucket(unlinkRate);
  const owners: ContentOwners = new ContentOwners({
    lru: index.lru,
    holds: hosted.holds,
    store,
    records,
    logger,
    isHosted,
    mayRemove: digest => hosted.isKnown && pins.isPinned(digest) === false && !downloads.isActive(digest),
    account: bytes => capacity.account(bytes),
    onRemove: digest => links.forget(digest),
    pace: (count, signal) => wait(systemTimers, unlinks.take(count), signal),
  });
  const capacity = await lifecycle.start(
    'capacity',
    () =>
      openCapacity(
        { layout, store, lru: index.lru, downloads, pins, records, links, hosted, owners, evictions },
        context,
      ),
    part => part.close(),
  );
  await lifecycle.start(
    'owners of content',
    () => owners,
    part => part.close(),
  );
  hosted.references.listen({
    gained: digest => owners.gained(digest),
    lost: (digest, size) => owners.lost(digest, size),
  });
  const quarantine = new Quarantine({
    layout,
    observer: metrics,
    now,
    maxBytes: () => Math.min(maxQuarantineBytes, capacity.usage().limitBytes * maxQuarantineShare),
    counted: bytes => capacity.account(bytes),
  });
  return {
    layout,
    store,
    quarantine,
    lru: index.lru,
    lruState: index.state,
    downloads,
    records,
    pins,
    links,
    lastUses,
    capacity,
    hosted,
    owners,
    evictions,
  };
}

async function openCapacity(
  parts: Pick<
    Storage,
    | 'layout'
    | 'store'
    | 'lru'
    | 'downloads'
    | 'pins'
    | 'records'
    | 'links'
    | 'hosted'
    | 'owners'
    | 'evictions'
  >,
  { config, logger, metrics, now }: AppContext,
): Promise<Capacity> {
  const { layout, store, lru, downloads, pins, records, links, hosted, owners, evictions } = parts;
  const unused = new UnusedRecords({
    records,
    store: { remove: async digest => (await owners.removeFree(digest)) ?? 0 },
    pins,
    logger,
    ttlMs: config.store.recordsTtlMs,
    now,
    onRemove: record => links.withdraw(record),
  });
  const capacity = new Capacity({
    maxBytes: config.store.maxBytes,
    minFreeBytes: config.store.minFreeBytes,
    lowWatermark: config.store.lowWatermark,
    lru,
    files: {
      disk: store,
      downloads,
      mayEvict: async digest => !(await pins.isPinned(digest)),
      findPartial: digest => findPartial({ layout, observer: metrics }, digest),
      isEvictionStopped: () => !hosted.isKnown,
      unlinkBlob: async digest => {
        const bytes = await owners.removeFree(digest);
        if (bytes !== undefined) evictions.evicted(digest, bytes);
        return bytes;
      },
      recordBytes: () => records.bytes,
      unusedRecords: () => unused.begin(),
      unlinkPartial: digest =>
        downloads.removePartial(digest, () => removePartial({ layout, observer: metrics }, digest)),
    },
    pins,
    observer: metrics,
    logger,
    now,
  });
  await capacity.start();
  return capacity;
}
