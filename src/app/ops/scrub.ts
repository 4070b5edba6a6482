/**
 * The scrub, put together over the store: in the daemon, where it fetches again what is bad, runs by itself and counts, and for a store
 * without a daemon, where it only looks and sets aside.
 */
import { FetchAgain } from '../../cached/fetch-again.ts';
import type { PullThroughCache } from '../../cached/pull-through-cache.ts';
import { HeldFiles } from '../../content/held-files.ts';
import { Scrub } from '../../content/scrub.ts';
import type { ScrubSource } from '../../content/scrub-pass.ts';
import { formatBytes } from '../../lib/format.ts';
import type { Timers } from '../../lib/wait.ts';
import { ScrubMetrics } from '../../metrics/scrub-metrics.ts';
import type { Digest } from '../../oci/digest.ts';
import type { LongWork } from '../../overview/actions/action-runs.ts';
import { walkBlobs } from '../../store/blobs/blob-walk.ts';
import { Quarantine } from '../../store/blobs/quarantine.ts';
import { ScrubFile } from '../../store/scrub-file.ts';
import type { StoreObserver } from '../../store/store-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { AppContext } from '../app-context.ts';
import type { HostedContent } from '../hosted/hosted-log.ts';
import type { Storage } from '../storage.ts';
import type { OpenedUpstream } from '../upstreams.ts';
import { HourlyJob } from './hourly-job.ts';

/** The start has better to do. */
const firstAfterMs = 15 * 60_000;
const shownRepositories = 3;

/** Runs by itself from now on, and when a command asks for it. */
export async function startScrub(
  {
    storage,
    cache,
    upstreams,
  }: {
    readonly storage: Storage;
    readonly cache: PullThroughCache;
    readonly upstreams: readonly OpenedUpstream[];
  },
  timers: Timers,
  { config, logger, lifecycle, metrics, now }: AppContext,
): Promise<Scrub> {
  const { layout, store, records, downloads, hosted, capacity } = storage;
  const { files, manifests } = cache.content;
  const registries = new Map(upstreams.map(({ key, registry }) => [key, registry]));
  const again = new FetchAgain({
    records,
    registry: host => registries.get(host),
    isPublic: record => cache.isPublic(record),
    ended: digest => downloads.ended(digest),
  });
  const { everyMs, bytesPerSecond } = config.store.scrub;
  const scrub: Scrub = await lifecycle.start(
    'scrub',
    () =>
      new Scrub({
        source: {
          ...sourceOf({ layout, observer: metrics, store, files, hosted }),
          isBusy: () => store.readers > 1 || downloads.count > 0,
          heldBytes: () => capacity.usage().heldBytes + hosted.references.bytes,
        },
        file: new ScrubFile({ layout, observer: metrics }),
        restore: digest => manifests.restore(digest),
        fetchAgain: (digest, signal) => again.fetch(digest, signal),
        repositoriesOf: async digest =>
          hostedRepositoriesOf(hosted, digest).concat(await again.repositoriesOf(digest)),
        bytesPerSecond,
        observer: new ScrubMetrics(metrics.registry, () => scrub.countDamaged()),
        logger,
        now,
      }),
    part => part.close(),
  );
  if (everyMs > 0)
    await lifecycle.start(
      'scrub by itself',
      () =>
        new HourlyJob({
          firstAfterMs,
          run: async signal => {
            if (await scrub.isDue(everyMs)) await scrub.run(signal);
          },
          failureMessage: 'held content was not compared with its digests',
          logger,
          timers,
        }),
      part => part.close(),
    );
  return scrub;
}

/** As a job of the page. */
export function scrubJob(scrub: Scrub): LongWork {
  return {
    run: async (_images, _platforms, progress, signal) => {
      const { files, bytes, findings, damaged } = await scrub.run(signal, ({ done, total, unit }) =>
        progress.at(done, total, unit),
      );
      const found = findings.length === 0 ? 'nothing found' : `${findings.length} found damaged`;
      const kept = damaged.length === 0 ? '' : `, ${damaged.length} pushed files wait for a push`;
      return { summary: `${files} files compared, ${formatBytes(bytes)}: ${found}${kept}` };
    },
  };
}

/** A command that waits for its pace has nothing else that keeps it alive. */
const timers: Timers = {
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
};

/** Bad files kept for inspection; the daemon counts them in its limit when it starts. */
const maxQuarantineBytes = 256 * 1024 * 1024;

export interface StoreScrubParts extends Pick<Storage, 'layout' | 'store'> {
  readonly hosted: HostedContent;
  readonly observer: StoreObserver;
  readonly bytesPerSecond: number;
  readonly logger: Logger;
  now(): number;
}

/** For a store without a daemon. */
export function openStoreScrub(parts: StoreScrubParts): Scrub {
  const { layout, store, hosted, observer, bytesPerSecond, logger, now } = parts;
  const quarantine = new Quarantine({
    layout,
    observer,
    now,
    maxBytes: () => maxQuarantineBytes,
    counted: () => {},
  });
  const files = new HeldFiles({
    store,
    quarantine,
    isHosted: digest => hosted.mayLink(digest),
    events: { verified: () => {}, removed: () => {} },
    verifyAfterMs: 0,
    observer,
    logger,
    signal: new AbortController().signal,
    now,
    indexedSize: digest => hosted.references.sizeOf(digest),
  });
  return new Scrub({
    source: {
      ...sourceOf({ layout, observer, store, files, hosted }),
      isBusy: () => false,
      heldBytes: () => 0,
    },
    file: new ScrubFile({ layout, observer }),
    repositoriesOf: async digest => hostedRepositoriesOf(hosted, digest),
    bytesPerSecond,
    timers,
    observer: { compared: () => {}, found: () => {}, fetchedAgain: () => {}, ended: () => {} },
    logger,
    now,
  });
}

function sourceOf({
  layout,
  observer,
  store,
  files,
  hosted,
}: Pick<StoreScrubParts, 'layout' | 'store' | 'hosted' | 'observer'> & {
  readonly files: HeldFiles;
}): Omit<ScrubSource, 'isBusy' | 'heldBytes'> {
  return {
    store,
    files,
    walk: after => walkBlobs({ layout, observer }, after),
    hosted: () => (hosted.isKnown ? hosted.references.all() : []),
    isHosted: digest => hosted.mayLink(digest),
  };
}

function hostedRepositoriesOf({ log }: HostedContent, digest: Digest): string[] {
  const names: string[] = [];
  for (const name of log.names()) {
    if (names.length === shownRepositories) break;
    const repository = log.peek(name);
    if (repository?.link(digest) !== undefined || repository?.manifest(digest) !== undefined)
      names.push(name);
  }
  return names;
}
