/**
 * What the page and its API are served from, put together over what a running daemon has. It keeps one count of blobs, one sampler and one
 * list of jobs for all pages; the lifecycle ends them.
 */
import { imageHostsOf } from '../../admin/image-name.ts';
import type { LocalAdmin } from '../../admin/local-admin.ts';
import type { WarmRequest } from '../../admin/warm-admin.ts';
import type { Access } from '../../auth/access.ts';
import { TagTtls } from '../../cached/manifests/freshness.ts';
import type { PullThroughCache } from '../../cached/pull-through-cache.ts';
import type { ApiSources } from '../../http/api/sources.ts';
import { formatBytes } from '../../lib/format.ts';
import { systemTimers } from '../../lib/wait.ts';
import { RegistryError } from '../../oci/error.ts';
import { HUB, hostRepositories } from '../../oci/name.ts';
import { ActionRuns, type LongWork } from '../../overview/actions/action-runs.ts';
import { Jobs } from '../../overview/actions/jobs.ts';
import { PageActions } from '../../overview/actions/page-actions.ts';
import { ColdList } from '../../overview/figures/cold-list.ts';
import { FigureHistory } from '../../overview/figures/figure-history.ts';
import { LiveSamples } from '../../overview/figures/live-samples.ts';
import { UsageFigures } from '../../overview/figures/usage-figures.ts';
import { warningsOf } from '../../overview/figures/warnings.ts';
import { BlobUses } from '../../overview/held/blob-uses.ts';
import { HeldContent } from '../../overview/held/held-content.ts';
import { HeldRepositories } from '../../overview/held/held-repositories.ts';
import { ImageDetails } from '../../overview/images/image-details.ts';
import { ImageList } from '../../overview/images/image-list.ts';
import { ImageRows } from '../../overview/images/image-row.ts';
import { OfflineList } from '../../overview/images/offline-list.ts';
import { RepositoryList } from '../../overview/images/repository-list.ts';
import type { RegistryEventListener } from '../../telemetry/registry-events.ts';
import type { AppContext } from '../app-context.ts';
import { reportDownload } from '../daemon-admin.ts';
import type { OpenedHosted } from '../hosted/hosted.ts';
import type { Storage } from '../storage.ts';

export interface OverviewParts {
  readonly storage: Storage;
  readonly cache: Pick<PullThroughCache, 'served'>;
  readonly admin: LocalAdmin;
  readonly access: Pick<Access, 'anonymous'>;
  /** Undefined: nothing is hosted. */
  readonly hosted: OpenedHosted | undefined;
  readonly events: Pick<RegistryEventListener, 'happened'>;
  /** Absent: it doesn't work here. */
  readonly scrub?: LongWork;
}

/** What is known once the listeners are put together. */
export interface ServedCertificates {
  /** Unix times in seconds, by name. */
  expiries(): ReadonlyMap<string, number>;
  readonly hasAuthority: boolean;
}

const noteEveryMs = 60_000;

export interface OpenedOverview {
  sources(certificates: ServedCertificates): ApiSources;
  /** Ends the event streams of open pages, which would hold up a drain. */
  endStreams(): void;
}

export async function openOverview(parts: OverviewParts, context: AppContext): Promise<OpenedOverview> {
  const { storage, cache, admin, access, hosted, events } = parts;
  const { config, lifecycle, logger, metrics, now } = context;
  const { capacity, lru, pins, records, store } = storage;
  const { log, references } = storage.hosted;
  const hosts = imageHostsOf(config);
  const stopping = new AbortController();
  const isHosted = hostRepositories(config.hosted.repositories);
  const logsRead = log.complete;
  const isOpen = (name: string) => access.anonymous(undefined).caller.mayPull(name, 'public');
  const mirrored = cache.served;
  const repositories = new HeldRepositories({ records, mirrored, log, logsRead, isHosted, isOpen });
  const isScanned = () => capacity.usage().known;
  const content = new HeldContent({ store, lru, references, isScanned });
  const uses = new BlobUses({ repositories, content, logger, signal: stopping.signal, now });
  const ttls = new TagTtls(config.tags);
  const isFresh = (name: string, tag: string, checkedMs: number) =>
    now() - checkedMs >= 0 && now() - checkedMs < ttls.of(name, tag);
  const rows = new ImageRows({ content, uses, isFresh });
  const images = new ImageList({ hosts, repositories, content, rows });
  const details = new ImageDetails({ hosts, repositories, content, rows, uses, tags: admin.tags });
  const minutes = new FigureHistory();
  const live = new LiveSamples({
    read: () => sample(parts, context),
    repositories,
    timers: systemTimers,
    logger,
  });
  const { evictions } = storage;
  const usage = new UsageFigures({ admin, minutes, evictions, uses, repositories, startedMs: now(), now });
  const jobs = new Jobs({ logger, now });
  const { scrub } = parts;
  const runs = new ActionRuns({
    admin,
    hosts,
    details,
    deleter: hosted?.registry,
    tell: (repository, change) => events.happened({ origin: {}, repository, ...change }),
    warm: { run: (images, platforms, _progress, signal) => warm(admin, { images, platforms }, signal) },
    scrub,
  });
  const upstreams = [...config.upstreams.keys()];
  const note = async () => minutes.note(now(), sumsOf(await metrics.totals()));
  const timer = setInterval(() => void note(), noteEveryMs).unref();
  await lifecycle.start(
    'what the page shows',
    () => jobs,
    async part => {
      clearInterval(timer);
      stopping.abort(new Error('the daemon is stopping'));
      live.close();
      await Promise.all([part.close(), uses.settled()]);
    },
  );
  const sources = (certificates: ServedCertificates): ApiSources => ({
    repositories: new RepositoryList(repositories),
    images,
    image: details,
    offline: new OfflineList({ images, rows, repositories, uses }),
    cold: new ColdList({
      lru,
      pins,
      usage: () => capacity.usage(),
      lowWatermark: () => config.store.lowWatermark,
      uses,
      repositories,
      evictions,
    }),
    live,
    actions: new PageActions({ hosts, repositories, jobs, runs, upstreams, events }),
    stats: async () => {
      const stats = await admin.stats();
      const readOnly = hosted?.readOnly.state ?? false;
      const { bytes, count: blobs } = references;
      return {
        ...stats,
        hosted: hosted === undefined ? null : { bytes, blobs, readOnly },
        warnings: warningsOf(stats, { expiries: certificates.expiries(), readOnly, nowMs: now() }),
      };
    },
    usage: {
      history: async (days, signal) => {
        await note();
        return usage.history(days, signal);
      },
      report: (query, caller, signal) => usage.report(query, caller, signal),
    },
    setup: () => ({
      upstreams: Array.from(config.upstreams.values(), ({ key, aliases, url }) => ({
        key,
        aliases: [...aliases],
        directUrl:
          key !== HUB && url.host === key ? url.origin : `https://${key === HUB ? 'registry-1.' : ''}${key}`,
      })),
      defaultUpstream: config.defaultUpstream ?? null,
      hosted: config.hosted.repositories,
      hasAuthority: certificates.hasAuthority,
    }),
  });
  return { sources, endStreams: () => live.close() };
}

/** One image at a time, so that each has its result. Errors: UNAVAILABLE where it could not be fetched. */
async function warm(
  admin: Pick<LocalAdmin, 'warm'>,
  request: WarmRequest,
  signal: AbortSignal,
): Promise<{ readonly summary: string; readonly fetchedBytes: number }> {
  for await (const { report } of admin.warm(request, signal)) {
    if (report === undefined) continue;
    const { fetchedBytes, images, waiting } = report;
    const [image] = images;
    if (image?.result === 'failed' || image?.result === 'skipped')
      throw new RegistryError('UNAVAILABLE', { message: image.reason ?? `it was ${image.result}` });
    const summary =
      image?.result === 'waiting'
        ? `waits: ${waiting.map(({ message }) => message).join('; ')}`
        : image?.result === 'held'
          ? 'nothing was missing'
          : `fetched ${formatBytes(fetchedBytes)}`;
    return { summary, fetchedBytes };
  }
  throw new RegistryError('UNAVAILABLE', { message: 'the warming ended without a report' });
}

/** With every name: it is cut for each caller later. */
async function sample({ storage, hosted }: OverviewParts, { metrics, now }: AppContext) {
  const { capacity, downloads } = storage;
  const { heldBytes, blobs, limitBytes, freeBytes } = capacity.usage();
  const nowMs = now();
  const running = Array.from(downloads.progress(), reportDownload);
  return {
    at: new Date(nowMs).toISOString(),
    transfers: {
      downloads: running.map(({ digest = null, repository = null, ...progress }) => ({
        ...progress,
        digest,
        repository,
      })),
      uploads: Array.from(
        hosted?.uploads.progress() ?? [],
        ({ repository, user = null, beganMs, bytes }) => ({
          repository,
          user,
          startedAt: new Date(beganMs).toISOString(),
          bytes,
          bytesPerSecond: Math.round(bytes / Math.max(0.001, (nowMs - beganMs) / 1000)),
        }),
      ),
    },
    store: {
      bytes: heldBytes + downloads.heldBytes,
      blobs,
      limitBytes: Number.isFinite(limitBytes) ? limitBytes : null,
      freeBytes: freeBytes ?? null,
    },
    ...sumsOf(await metrics.totals()),
  };
}

function sumsOf({
  requests: { hit, joined, stale, miss, passthrough },
  servedBytes,
  upstreamBytes,
}: Awaited<ReturnType<AppContext['metrics']['totals']>>) {
  const hits = hit + joined + stale;
  return {
    requests: hits + miss + passthrough,
    hits,
    servedBytes: Object.values(servedBytes).reduce((total, bytes) => total + bytes, 0),
    upstreamBytes,
  };
}
