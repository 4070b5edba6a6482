/**
 * The composition root: the only file that knows all rooms. It turns the configuration into narrow constructor options,
 * starts what needs starting in order, and hands back one thing that can be closed.
 *
 * Nothing at start waits for a network or for the whole store: records, the LRU index and leftovers of a crash are read
 * behind serving.
 */

import { PullThroughCache } from '../cached/pull-through-cache.ts';
import type { Config } from '../config/config.ts';
import { createAdminApp } from '../http/api/admin.ts';
import { Metrics } from '../metrics/metrics.ts';
import { Directory } from '../registry/directory.ts';
import { readBootId } from '../store/ingest/journal.ts';
import { findPartial } from '../store/ingest/sweep.ts';
import { StoreLayout } from '../store/layout.ts';
import { StoreOwner } from '../store/owner.ts';
import type { Logger } from '../telemetry/logger.ts';
import { createAdmin } from './administration.ts';
import type { AppContext } from './app-context.ts';
import { createStats } from './daemon-stats.ts';
import { setUpFleet } from './fleet-setup.ts';
import { type CloseOptions, Lifecycle } from './lifecycle.ts';
import { listen } from './listeners.ts';
import { openRedis } from './open-redis.ts';
import { openStorage } from './storage.ts';
import { StoreReading } from './store-scan.ts';
import { openUpstreams } from './upstreams.ts';

export interface MirrorOptions {
  readonly logger: Logger;
  /** Milliseconds since the epoch; a test hands its own in. */
  readonly now?: () => number;
}

export interface Mirror {
  /** One for each address listened on. */
  readonly urls: readonly string[];
  /** For the start line: how much the cache may hold, and what decides it. */
  readonly cacheLimit: { readonly bytes: number; readonly reason: string };
  /** Resolves when everything that runs behind the start is done: recovery, the LRU index, public links. */
  readonly settled: Promise<void>;
  close(options: CloseOptions): Promise<void>;
}

/** Errors: `StoreError` (unusable store, or owned by another process), `ConfigError` (Redis required), those of `listen`. */
export async function startMirror(config: Config, options: MirrorOptions): Promise<Mirror> {
  const { logger, now = Date.now } = options;
  const lifecycle = new Lifecycle(logger);
  const layout = await StoreLayout.open(config.store.path);
  const owner = await lifecycle.start(
    'owner',
    () => StoreOwner.acquire(layout.path),
    part => part.release(),
  );
  const sample = () => {
    const { heldBytes, limitBytes, freeBytes, blobs } = capacity.usage();
    return {
      bytes: heldBytes,
      blobs,
      limitBytes,
      ...(freeBytes !== undefined && { freeBytes }),
      lru: lruState(),
    };
  };
  const metrics: Metrics = new Metrics({ logger, upstreams: config.upstreams.keys(), sample });
  const around: AppContext = { config, logger, lifecycle, metrics, now };

  const redis = await openRedis(around);
  const holdings = await openStorage(layout, redis, around);
  const { capacity, lru, lruState, lastUses } = holdings;
  const fleet = await setUpFleet(holdings, redis, around);
  const cache = new PullThroughCache({
    layout,
    store: holdings.store,
    quarantine: holdings.quarantine,
    records: holdings.records,
    downloads: holdings.downloads,
    room: {
      reserve: (bytes, digest) => capacity.reserve(bytes, digest),
      partialLeft: digest => {
        findPartial({ layout, observer: metrics }, digest).then(
          found => capacity.addPartials(found === undefined ? [] : [found]),
          error => logger.warn('a partial could not be counted', { digest, error }),
        );
      },
    },
    events: {
      touch: digest => {
        lru.touch(digest);
        lastUses.touch(digest);
        fleet?.holders.note(digest);
      },
      verified: digest => lastUses.verified(digest),
      manifestStored: (digest, bytes) => {
        capacity.account(bytes);
        if (bytes > 0) fleet?.holders.note(digest);
      },
      removed: (digest, bytes, kind) => {
        if (kind === 'manifest' && lru.sizeOf(digest) === undefined) capacity.account(-bytes);
        lru.remove(digest);
        fleet?.holders.forget(digest);
      },
    },
    tags: config.tags,
    offline: config.offline,
    verifyAfterMs: config.store.verifyAfterMs,
    bootId: await readBootId(),
    observer: metrics,
    logger,
    now,
    indexedSize: digest => lru.sizeOf(digest),
  });
  const upstreams = await openUpstreams(cache, fleet, around);
  await lifecycle.start(
    'downloads',
    () => cache,
    part => part.close(),
  );
  const directory = new Directory({
    upstreams,
    defaultUpstream: config.defaultUpstream,
    ownNames: ownNamesOf(config),
  });
  const settled = await lifecycle.start(
    'reading of the store',
    () =>
      new StoreReading({
        ...holdings,
        cache,
        partialTtlMs: config.store.partialTtlMs,
        observer: metrics,
        logger,
        now,
      }),
    reading => reading.close(),
  );
  const stats = createStats({ holdings, upstreams, lru: () => sample().lru }, around);
  const admin = createAdmin({ holdings, cache, upstreams, stats, settled: settled.done }, around);
  await lifecycle.start(
    'owner door',
    () => owner.serve(createAdminApp({ admin, logger })),
    () => owner.stopServing(),
  );
  const urls = await listen(
    {
      directory,
      catalog: cache.catalog,
      isScanned: () => capacity.usage().known,
      readStats: stats,
      ...(redis !== undefined && { redisLru: () => lruState().up }),
      ...(fleet !== undefined && {
        fleet: () => fleet.redis.isUp,
        peers: { gate: fleet.gate, content: cache.peers },
      }),
    },
    around,
  );
  const { limitBytes, limitReason } = capacity.usage();
  return {
    urls,
    cacheLimit: { bytes: limitBytes, reason: limitReason },
    settled: settled.done,
    close: closing => lifecycle.close(closing),
  };
}

/** Hosts that mean this mirror itself when they come as `ns`. */
function ownNamesOf({ http }: Config): string[] {
  return http.publicUrl === undefined ? [...http.names] : [new URL(http.publicUrl).host, ...http.names];
}
