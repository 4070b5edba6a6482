/** The admin commands over the parts of a running daemon, and what its `stats` reports. */
import type {
  DownloadReport,
  ImportFolder,
  NextReport,
  StatsReport,
  StatsWanted,
  UploadReport,
  UpstreamReport,
} from '../admin/admin.ts';
import type { BundleAdmin } from '../admin/bundle-admin.ts';
import { imageHostsOf } from '../admin/image-name.ts';
import { LocalAdmin } from '../admin/local-admin.ts';
import type { TagAdmin } from '../admin/tag-admin.ts';
import type { DownloadProgress } from '../cached/download/downloads.ts';
import type { Scrub } from '../content/scrub.ts';
import type { UploadProgress } from '../hosted/uploads/uploads.ts';
import type { ClientUsage } from '../metrics/client-usage.ts';
import type { ByOutcome, MetricTotals } from '../metrics/metric-totals.ts';
import type { DailyReport } from '../report/daily-report.ts';
import { readVersion } from '../version.ts';
import type { Warm } from '../warm/warm.ts';
import type { AppContext } from './app-context.ts';
import type { OpenedHosted } from './hosted/hosted.ts';
import type { Storage } from './storage.ts';
import type { OpenedUpstream } from './upstreams.ts';

export interface DaemonParts {
  readonly storage: Storage;
  readonly upstreams: readonly OpenedUpstream[];
  /** Resolves when the store is scanned. */
  readonly scanned: Promise<void>;
  readonly tags: TagAdmin;
  readonly bundles: BundleAdmin;
  /** Absent: nothing is hosted. */
  readonly importFolder: ImportFolder | undefined;
  readonly scrub: Scrub;
  stats(wanted?: StatsWanted): Promise<StatsReport>;
  /** Undefined: `notifications` has no such target. */
  replay(target: string): Promise<number> | undefined;
  readonly hosted: Pick<OpenedHosted, 'collector' | 'readOnly'> | undefined;
  readonly warm: Warm;
  readonly report: DailyReport;
}

export function createAdmin(
  {
    storage,
    upstreams,
    scanned,
    scrub,
    stats,
    tags,
    bundles,
    importFolder,
    replay,
    hosted: registry,
    warm,
    report,
  }: DaemonParts,
  { config, logger }: Pick<AppContext, 'config' | 'logger'>,
): LocalAdmin {
  const { downloads, hosted, lastUses, owners, pins, records, store } = storage;
  const registries = new Map(upstreams.map(({ key, registry }) => [key, registry]));
  return new LocalAdmin({
    records,
    store: {
      open: digest => store.open(digest),
      sizeOf: digest => store.sizeOf(digest),
      remove: async digest => (await owners.removeFree(digest)) ?? 0,
    },
    pins,
    logger,
    stats,
    replay,
    hosts: imageHostsOf(config),
    tags,
    bundles,
    importFolder,
    registry: host => registries.get(host),
    isActive: digest => downloads.isActive(digest),
    isHosted: digest => hosted.mayLink(digest) || hosted.holds.isHeld(digest),
    scrub: (wanted, signal, onProgress) => scrub.run(signal, onProgress, wanted),
    repair: (name, signal) => hosted.repair(name, { store, records }, signal),
    usage: sinceMs => report.read(sinceMs),
    warm: (request, signal) => warm.follow(request, signal),
    blobRemoved: () => {}, // `removeFree` has told everything that must forget it
    manifestRemoved: () => {},
    hosted: registry && {
      gc: (wanted, signal, onProgress) => registry.collector.collect(wanted, signal, onProgress),
      readOnly: registry.readOnly,
    },
    flush: async () => {
      await Promise.all([lastUses.flush(), records.flush()]);
    },
    ready: () => scanned,
  });
}

/** What runs by itself, and tells how far it is. */
export interface LiveParts {
  readonly scrub: Scrub;
  readonly warm: Pick<Warm, 'stats' | 'isUsed'>;
  uploads(): Iterable<UploadProgress>;
}

/** `stats` of the running daemon, with the counts of the metrics since its start, which is now. */
export function createStats(
  storage: Storage,
  upstreams: readonly OpenedUpstream[],
  clients: Pick<ClientUsage, 'report'>,
  { scrub, uploads, warm }: LiveParts,
  { metrics, now }: Pick<AppContext, 'metrics' | 'now'>,
): (wanted?: StatsWanted) => Promise<StatsReport> {
  const { layout, capacity, downloads, pins, lruState } = storage;
  const startedMs = now();
  const version = readVersion();
  version.catch(() => {}); // each report fails with it
  return async (wanted = {}) => {
    const totals = await metrics.totals();
    const usage = capacity.usage();
    return {
      version: await version,
      store: {
        path: layout.path,
        bytes: usage.heldBytes + downloads.heldBytes,
        blobs: usage.blobs,
        limitBytes: Number.isFinite(usage.limitBytes) ? usage.limitBytes : null,
        limitReason: usage.limitReason,
        freeBytes: usage.freeBytes ?? null,
        partialBytes: usage.partialBytes + downloads.heldBytes,
        pinnedBytes: pins.bytes,
        scanned: usage.known,
      },
      daemon: {
        pid: process.pid,
        startedAt: new Date(startedMs).toISOString(),
        uptimeSeconds: Math.max(0, Math.round((now() - startedMs) / 1000)),
        lru: lruState(),
        upstreams: upstreams.map(upstream => reportUpstream(upstream, totals)),
        downloads: Array.from(downloads.progress(), reportDownload),
        uploads: Array.from(uploads()).flatMap(upload =>
          upload.isActive ? [reportUpload(upload, now())] : [],
        ),
        scrub: await scrub.status(),
        requests: totals.requests,
        servedBytes: sum(totals.servedBytes),
        upstreamBytes: totals.upstreamBytes,
        hitRatio: { requests: ratioOf(totals.requests), bytes: ratioOf(totals.servedBytes) },
        ...(warm.isUsed && { warm: warm.stats() }),
        evictions: { blobs: totals.evictedBlobs, bytes: totals.evictedBytes },
        ...(wanted.clients && { clients: clients.report() }),
        ...(wanted.next && { next: await nextToGo(storage) }),
      },
    };
  };
}

const shownNext = 20;

/** Pinned blobs are passed over, as an eviction does. Partials, which go before any blob, aren't among them. */
async function nextToGo({ lru, pins }: Pick<Storage, 'lru' | 'pins'>): Promise<readonly NextReport[]> {
  const next: NextReport[] = [];
  for (const { digest, size, lastUseMs } of await lru.coldest(10 * shownNext)) {
    if (next.length === shownNext) break;
    if (await pins.isPinned(digest)) continue;
    next.push({ digest, bytes: size, lastUsedAt: new Date(lastUseMs).toISOString() });
  }
  return next;
}

function reportUpstream({ key, health }: OpenedUpstream, totals: MetricTotals): UpstreamReport {
  const { up, breakerOpen, rateLimit, rateRemaining, areCredentialsAccepted } = totals.of(key);
  const paused = health().pausedUntil('manifest');
  return {
    upstream: key,
    up: up ?? null,
    breakerOpen,
    pausedUntil: paused === undefined ? null : new Date(paused).toISOString(),
    rateLimit: rateLimit ?? null,
    rateRemaining: rateRemaining ?? null,
    credentials: areCredentialsAccepted === undefined ? null : areCredentialsAccepted ? 'ok' : 'refused',
  };
}

export function reportDownload({
  upstream,
  repository,
  sizeBytes,
  ...progress
}: DownloadProgress): DownloadReport {
  return { ...progress, upstream, repository: `${upstream}/${repository}`, sizeBytes: sizeBytes ?? null };
}

function reportUpload({ repository, user, beganMs, bytes }: UploadProgress, nowMs: number): UploadReport {
  const seconds = Math.max(0.001, (nowMs - beganMs) / 1000);
  return {
    repository,
    user: user ?? null,
    startedAt: new Date(beganMs).toISOString(),
    bytes,
    bytesPerSecond: Math.round(bytes / seconds),
  };
}

function ratioOf(by: ByOutcome): number | null {
  const withoutUpstream = by.hit + by.joined + by.stale;
  const all = withoutUpstream + by.miss + by.passthrough;
  return all === 0 ? null : Math.round((1000 * withoutUpstream) / all) / 1000;
}

function sum(by: ByOutcome): number {
  return Object.values(by).reduce((total, bytes) => total + bytes, 0);
}
