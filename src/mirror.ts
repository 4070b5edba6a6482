/**
 * The composition root: the only file that knows all rooms. It turns the configuration into narrow constructor options,
 * starts what needs starting in order, and hands back one thing that can be closed.
 *
 * Nothing at start waits for a network or for the whole store: records, the LRU index and leftovers of a crash are read
 * behind serving.
 */
import { createAccess } from './access.ts';
import { Downloads } from './cached/downloads.ts';
import { PullThroughCache } from './cached/pull-through-cache.ts';
import type { Config, UpstreamConfig } from './config/config.ts';
import { type AppOptions, createApp, createOpsApp } from './http/app.ts';
import { Listener } from './http/listener.ts';
import { type CloseOptions, Lifecycle } from './lifecycle.ts';
import { Capacity } from './lru/capacity.ts';
import { EmbeddedLru } from './lru/embedded-lru.ts';
import { Metrics } from './metrics.ts';
import { Directory, type DirectoryEntry } from './registry/directory.ts';
import { OfflineOrigin, type Origin } from './registry/origin.ts';
import { BlobStore } from './store/blob-store.ts';
import { readBootId } from './store/journal.ts';
import { LastUseWriter } from './store/last-use-writer.ts';
import { StoreLayout } from './store/layout.ts';
import { StoreOwner } from './store/owner.ts';
import { Records } from './store/records.ts';
import { removePartial } from './store/sweep.ts';
import { StoreReading } from './store-reading.ts';
import type { Logger } from './telemetry/logger.ts';
import { openUpstream } from './upstream/upstream-urls.ts';

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

interface Surroundings {
  readonly config: Config;
  readonly logger: Logger;
  readonly lifecycle: Lifecycle;
  readonly metrics: Metrics;
  readonly now: () => number;
}

/** Errors: `StoreError` (unusable store, or owned by another process), those of `listen`. */
export async function startMirror(config: Config, options: MirrorOptions): Promise<Mirror> {
  const { logger, now = Date.now } = options;
  const lifecycle = new Lifecycle(logger);
  const layout = await StoreLayout.open(config.store.path);
  await lifecycle.start(
    'owner',
    () => StoreOwner.acquire(layout.path),
    owner => owner.release(),
  );
  const sample = () => {
    const { heldBytes, limitBytes, freeBytes, blobs } = capacity.usage();
    return {
      bytes: heldBytes,
      blobs,
      limitBytes,
      ...(freeBytes !== undefined && { freeBytes }),
      lru: { backend: 'embedded' as const, up: true },
    };
  };
  const metrics: Metrics = new Metrics({ logger, upstreams: config.upstreams.keys(), sample });
  const around: Surroundings = { config, logger, lifecycle, metrics, now };

  const store = new BlobStore({ layout, observer: metrics });
  const lru = new EmbeddedLru({ now });
  const records = await lifecycle.start(
    'records',
    () => new Records({ layout, observer: metrics, logger }),
    part => part.close(),
  );
  const lastUses = await lifecycle.start(
    'last uses',
    () => new LastUseWriter({ store, logger, now }),
    part => part.close(),
  );
  const downloads = new Downloads();
  const parts: StoreParts = { around, layout, store, lru, downloads, records };
  const capacity: Capacity = await lifecycle.start(
    'capacity',
    () => openCapacity(parts),
    part => part.close(),
  );
  const cache = new PullThroughCache({
    ...parts,
    tags: config.tags,
    offline: config.offline,
    bootId: await readBootId(),
    observer: metrics,
    logger,
    now,
    reserve: (bytes, digest) => capacity.reserve(bytes, digest),
    touch: digest => {
      lru.touch(digest);
      lastUses.touch(digest);
    },
    manifestStored: bytes => capacity.account(bytes),
  });
  const upstreams: DirectoryEntry[] = [];
  for (const upstream of config.upstreams.values()) {
    const origin = await lifecycle.start(
      upstream.key,
      () => openOrigin(upstream, around),
      part => part.close(),
    );
    const { key, aliases, timeouts } = upstream;
    const isPublic = upstream.username === undefined;
    const isGuarded = !isPublic && upstream.share === 'public';
    const registry = cache.registry(origin, { ...upstream, ...timeouts, isPublic, isGuarded });
    upstreams.push({ key, aliases, registry });
  }
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
        ...parts,
        cache,
        capacity,
        partialTtlMs: config.store.partialTtlMs,
        observer: metrics,
        logger,
        now,
      }),
    reading => reading.close(),
  );
  const urls = await listen({ directory, catalog: cache.catalog }, () => capacity.usage().known, around);
  const { limitBytes, limitReason } = capacity.usage();
  return {
    urls,
    cacheLimit: { bytes: limitBytes, reason: limitReason },
    settled: settled.done,
    close: closing => lifecycle.close(closing),
  };
}

interface StoreParts {
  readonly around: Surroundings;
  readonly layout: StoreLayout;
  readonly store: BlobStore;
  readonly lru: EmbeddedLru;
  readonly downloads: Downloads;
  readonly records: Records;
}

async function openCapacity({ around, layout, store, lru, downloads }: StoreParts): Promise<Capacity> {
  const { config, logger, metrics, now } = around;
  const capacity = new Capacity({
    ...config.store,
    lru,
    observer: metrics,
    logger,
    now,
    freeBytes: () => store.freeBytes(),
    unlinkBlob: digest => store.remove(digest),
    unlinkPartial: digest =>
      downloads.removePartial(digest, () => removePartial({ layout, observer: metrics }, digest)),
    mayEvict: () => true, // pins and hosted content come later
    isActive: digest => downloads.isActive(digest),
    writtenBytes: () => downloads.heldBytes,
  });
  await capacity.start();
  return capacity;
}

function openOrigin(upstream: UpstreamConfig, { config, metrics, logger, now }: Surroundings): Origin {
  if (config.offline) return new OfflineOrigin(upstream.key);
  const { username, password } = upstream;
  return openUpstream({
    ...upstream,
    ...(username !== undefined && password !== undefined && { credentials: { username, password } }),
    userAgent: 'cistern',
    observer: metrics,
    logger,
    now,
  });
}

/** Hosts that mean this mirror itself when they come as `ns`. */
function ownNamesOf({ http }: Config): string[] {
  return http.publicUrl === undefined ? [...http.names] : [new URL(http.publicUrl).host, ...http.names];
}

async function listen(
  serving: Pick<AppOptions, 'directory' | 'catalog'>,
  isScanned: () => boolean,
  around: Surroundings,
): Promise<readonly string[]> {
  const { config, lifecycle, metrics, logger, now } = around;
  const { path, listen: metricsAddress } = config.metrics;
  const ops = {
    observer: metrics,
    logger,
    accessLog: config.log.access,
    trustedProxies: config.http.trustedProxies,
    renderMetrics: () => metrics.render(),
    ready: () => ({
      ok: !lifecycle.closing,
      detail: { draining: lifecycle.closing, storeScanned: isScanned() },
    }),
  };
  if (metricsAddress !== undefined) {
    const handle = createOpsApp({ ...ops, metricsPath: path });
    const open = () => Listener.open({ addresses: [metricsAddress], handle, logger });
    await lifecycle.start('metrics listener', open, part => part.close({ drainMs: 0 }));
  }
  const handle = createApp({
    ...ops,
    ...serving,
    access: createAccess(config.access, around),
    now,
    metricsPath: metricsAddress === undefined ? path : undefined,
  });
  const refused = {
    upstream: 'none',
    kind: 'other',
    method: 'OTHER',
    outcome: 'error',
    bytes: 0,
    seconds: 0,
    firstByteSeconds: 0,
  } as const;
  const onRefused = (status: number) => metrics.requestEnded({ ...refused, status });
  const open = () => Listener.open({ addresses: config.http.listen, handle, logger, onRefused });
  const listener = await lifecycle.start('listener', open, (part, closing) => part.close(closing));
  return listener.urls;
}
