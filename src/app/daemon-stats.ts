/** What `stats` says of a running daemon: a snapshot of its parts and of what the metrics counted since the start. */
import type { DaemonReport, DownloadReport, StatsReport, UpstreamReport } from '../admin/admin.ts';
import type { DownloadProgress } from '../cached/download/downloads.ts';
import type { ByOutcome, MetricTotals } from '../metrics/metric-totals.ts';
import { readVersion } from '../version.ts';
import type { AppContext } from './app-context.ts';
import type { Storage } from './storage.ts';
import type { OpenedUpstream } from './upstreams.ts';

export interface DaemonStatsParts {
  readonly holdings: Storage;
  readonly upstreams: readonly OpenedUpstream[];
  /** Of the LRU index, now. */
  lru(): DaemonReport['lru'];
}

/** The start is now. */
export function createStats(
  { holdings, upstreams, lru }: DaemonStatsParts,
  { metrics, now }: Pick<AppContext, 'metrics' | 'now'>,
): () => Promise<StatsReport> {
  const { layout, capacity, downloads, pins } = holdings;
  const startedMs = now();
  const version = readVersion();
  version.catch(() => {}); // told to whoever asks
  return async () => {
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
        lru: lru(),
        upstreams: upstreams.map(upstream => reportUpstream(upstream, totals)),
        downloads: Array.from(downloads.progress(), reportDownload),
        requests: totals.requests,
        servedBytes: sum(totals.servedBytes),
        upstreamBytes: totals.upstreamBytes,
        hitRatio: { requests: ratioOf(totals.requests), bytes: ratioOf(totals.servedBytes) },
        evictions: { blobs: totals.evictedBlobs, bytes: totals.evictedBytes },
      },
    };
  };
}

function reportUpstream({ key, health }: OpenedUpstream, totals: MetricTotals): UpstreamReport {
  const { up, breakerOpen, rateLimit, rateRemaining } = totals.of(key);
  const paused = health().pausedUntil('manifest');
  return {
    upstream: key,
    up: up ?? null,
    breakerOpen,
    pausedUntil: paused === undefined ? null : new Date(paused).toISOString(),
    rateLimit: rateLimit ?? null,
    rateRemaining: rateRemaining ?? null,
  };
}

function reportDownload({ upstream, repository, sizeBytes, ...progress }: DownloadProgress): DownloadReport {
  return { ...progress, upstream, repository: `${upstream}/${repository}`, sizeBytes: sizeBytes ?? null };
}

function ratioOf(by: ByOutcome): number | null {
  const spared = by.hit + by.joined + by.stale;
  const all = spared + by.miss + by.passthrough;
  return all === 0 ? null : Math.round((1000 * spared) / all) / 1000;
}

function sum(by: ByOutcome): number {
  return Object.values(by).reduce((total, bytes) => total + bytes, 0);
}
