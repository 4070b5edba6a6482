/**
 * The composition root: the only file that knows all rooms. It turns the configuration into narrow constructor options and
 * starts the parts in order. The start waits neither for a network nor for the scan of the store.
 */
import { PullThroughCache } from '../cached/pull-through-cache.ts';
import type { Config } from '../config/config.ts';
import { createAdminApp } from '../http/api/admin.ts';
import { systemTimers, type Timers } from '../lib/wait.ts';
import { ClientUsage } from '../metrics/client-usage.ts';
import { Metrics, type StoreSample } from '../metrics/metrics.ts';
import { Directory } from '../registry/directory.ts';
import { readBootId } from '../store/ingest/journal.ts';
import { StoreLayout } from '../store/layout.ts';
import { StoreOwner } from '../store/owner.ts';
import { TlsFiles } from '../store/tls-files.ts';
import type { Logger } from '../telemetry/logger.ts';
import { openAccess } from './access/open-access.ts';
import type { AppContext } from './app-context.ts';
import { createDaemonBundles } from './bundle/daemon-bundles.ts';
import { createAdmin, createStats } from './daemon-admin.ts';
import { openDailyReport } from './daily-report.ts';
import { setUpFleet } from './fleet-setup.ts';
import { createFolderImport } from './hosted/folder-import.ts';
import { openHosted } from './hosted/hosted.ts';
import { openTags } from './hosted/tags.ts';
import { type CloseOptions, Lifecycle } from './lifecycle.ts';
import { listen } from './listeners.ts';
import { startNotifications } from './notifications.ts';
import { openRedis } from './open-lru.ts';
import { scrubJob, startScrub } from './ops/scrub.ts';
import { startTracing } from './ops/tracing.ts';
import { YoungGeneration } from './ops/young-generation.ts';
import { openOverview } from './page/overview.ts';
import { Reload } from './reload.ts';
import { openStorage, type Storage } from './storage.ts';
import { StoreScan } from './store-scan.ts';
import { openUpstreams } from './upstreams.ts';
import { openWarm } from './warm.ts';

export interface MirrorOptions {
  readonly logger: Logger;
  /** Writes a line to standard output, in order with the log: for `log.audit: stdout`. Absent: it goes nowhere. */
  readonly print?: (line: string) => void;
  /** Milliseconds since the epoch; a test hands its own in. */
  readonly now?: () => number;
  /** For what waits until a time of that clock. */
  readonly timers?: Timers;
}

export interface Mirror {
  /** One for each address listened on. */
  readonly urls: readonly string[];
  /** For the start line: how much the store may hold, and why. */
  readonly cacheLimit: { readonly bytes: number; readonly reason: string };
  /** Resolves when the scan of the store is done: recovery, the LRU index, public links. */
  readonly settled: Promise<void>;
  /** Takes over what can change while the mirror runs, and logs what can't. */
  reload(config: Config): Promise<void>;
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
  const metrics = new Metrics({ logger, upstreams: config.upstreams.keys() });
  const context: AppContext = { config, logger, lifecycle, metrics, now };
  const traces = await startTracing(layout.id, context);
  const report = await lifecycle.start(
    'daily report',
    () => openDailyReport({ layout, source: metrics, observer: metrics, logger, now }),
    part => part.close(),
  );
  const notifications = await lifecycle.start(
    'notifications',
    () => startNotifications({ layout, print: options.print ?? (() => {}) }, context),
    part => part.close(),
  );

  const redis = await openRedis(context);
  const storage = await openStorage(layout, redis, context);
  const { capacity, lru, lruState, lastUses, owners } = storage;
  metrics.sampleStore(() => sampleStore(storage));
  const fleet = await setUpFleet(storage, redis, context);
  const cache = new PullThroughCache({
    layout,
    store: storage.store,
    quarantine: storage.quarantine,
    isHosted: digest => storage.hosted.mayLink(digest),
    records: storage.records,
    links: storage.links,
    downloads: storage.downloads,
    room: capacity,
    events: {
      touch:
        fleet === undefined
          ? lastUses.touch
          : digest => {
              lastUses.touch(digest);
              fleet.holders.note(digest);
            },
      verified: digest => lastUses.verified(digest),
      manifestStored: (digest, bytes) => {
        owners.manifestStored(digest, bytes);
        fleet?.holders.note(digest);
      },
      removed: digest => {
        owners.gone(digest);
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
    indexedSize: digest => lru.sizeOf(digest) ?? storage.hosted.references.sizeOf(digest),
  });
  const upstreams = await openUpstreams(cache, fleet, context);
  await lifecycle.start(
    'downloads',
    () => cache,
    part => part.close(),
  );
  const hosted = await openHosted(cache, storage, context);
  const scrub = await startScrub({ storage, cache, upstreams }, options.timers ?? systemTimers, context);
  owners.listen({
    removed: digest => {
      cache.forgetManifest(digest);
      fleet?.holders.forget(digest);
    },
    released: (digest, bytes, release) => {
      if (release === 'removed') hosted?.collector.removed(digest, bytes);
    },
  });
  const directory = new Directory({
    upstreams,
    ...(config.defaultUpstream !== undefined && { defaultUpstream: config.defaultUpstream }),
    ...(hosted !== undefined && { hosted }),
    ownNames: ownNamesOf(config),
  });
  const scan = await lifecycle.start(
    'scan of the store',
    () => new StoreScan(storage, cache, context),
    part => part.close(),
  );
  const clients = new ClientUsage(now);
  const warm = await lifecycle.start(
    'warm',
    () => openWarm({ storage, upstreams }, options.timers ?? systemTimers, context),
    part => part.close(),
  );
  void scan.done.then(() => warm.apply(config.warm));
  const live = { scrub, warm, uploads: () => hosted?.uploads.progress() ?? [] };
  const readStats = createStats(storage, upstreams, clients, live, context);
  const tags = await openTags(
    { cache, storage, upstreams, hosted, events: notifications, scanned: scan.done },
    context,
  );
  const admin = createAdmin(
    {
      storage,
      upstreams,
      tags,
      scrub,
      bundles: createDaemonBundles({ cache, storage, upstreams, hosted }, context),
      stats: readStats,
      scanned: scan.done,
      replay: target => notifications.replay(target),
      hosted,
      warm,
      report,
      importFolder:
        hosted &&
        createFolderImport({ ...hosted, layout, store: storage.store, observer: metrics, logger, now }),
    },
    context,
  );
  await lifecycle.start(
    'admin socket',
    () => owner.serve(createAdminApp({ admin, logger, events: notifications })),
    () => owner.stopServing(),
  );
  const { access, set: setAccess } = await openAccess(layout, context);
  const overview = await openOverview(
    { storage, cache, admin, access, hosted, events: notifications, scrub: scrubJob(scrub) },
    context,
  );
  const listening = await listen(
    {
      access,
      directory,
      catalog: hosted?.catalog ?? cache.catalog,
      isScanned: () => capacity.usage().known,
      readStats,
      clients,
      openSources: certificates => overview.sources(certificates),
      tlsFiles: new TlsFiles(layout, metrics),
      blobPath: digest => layout.blobName(digest),
      events: notifications,
      traces,
      ...(redis !== undefined && { isLruInRedis: () => lruState().up }),
      ...(fleet !== undefined && {
        isFleetUp: () => fleet.redis.isUp,
        peers: { gate: fleet.gate, content: cache.peers },
      }),
    },
    context,
  );
  await lifecycle.start(
    'open pages',
    () => overview,
    part => part.endStreams(),
  );
  await lifecycle.start(
    'young generation',
    () => new YoungGeneration(),
    part => part.close(),
  );
  const reload = new Reload(
    config,
    {
      setAccess,
      setMaxConnections: configured => listening.setMaxConnections(configured),
      setNotifications: changed => notifications.apply(changed),
      setStoreLimits: limits => capacity.limit(limits),
      setWarm: entries => warm.apply(entries),
      setReadOnly: state => hosted?.readOnly.set(state),
      setUpstream: changed => upstreams.find(({ key }) => key === changed.key)?.reload(changed),
    },
    logger,
  );
  const { limitBytes, limitReason } = capacity.usage();
  return {
    urls: listening.urls,
    reload: async changed => {
      await reload.apply(changed);
      await listening.checkCertificates();
    },
    cacheLimit: { bytes: limitBytes, reason: limitReason },
    settled: scan.done,
    close: closing => lifecycle.close(closing),
  };
}

/** Hosts that name this mirror itself in `ns`. */
function ownNamesOf({ http }: Config): string[] {
  return http.publicUrl === undefined ? [...http.names] : [new URL(http.publicUrl).host, ...http.names];
}

function sampleStore({ capacity, lruState }: Storage): StoreSample {
  const { heldBytes, limitBytes, freeBytes, blobs } = capacity.usage();
  return {
    bytes: heldBytes,
    blobs,
    limitBytes,
    lru: lruState(),
    ...(freeBytes !== undefined && { freeBytes }),
  };
}
