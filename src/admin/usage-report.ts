/**
 * `cistern report`: was it worth it. The contract of what is printed as JSON (docs/operation.md), so its field names are public, and the part
 * that needs the records: which manifests that were fetched once are images, and what they are called.
 */
import { TimeSlice } from '../lib/time-slice.ts';
import type { UsageSince } from '../report/daily-report.ts';
import { type HistoryPoint, noSums, plus } from '../report/usage-history.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import { readManifest } from '../store/records/image-tree.ts';
import type { Records } from '../store/records/records.ts';
import { ifReadable } from '../store/store-error.ts';

/** Times are ISO 8601, sizes bytes, hours and days those of UTC. */
export interface UsageReport {
  /** What is counted: whole hours for two days, whole days before. */
  readonly since: string;
  readonly until: string;
  readonly upstreams: readonly UpstreamUsage[];
  readonly days: readonly UsagePoint[];
  /** Of the last two days, whatever `since` is. */
  readonly hours: readonly UsagePoint[];
  /** Images that were fetched since then and not pulled after it. */
  readonly pulledOnce: {
    readonly images: number;
    /** At most 1,000, the last first. */
    readonly listed: readonly PulledOnce[];
  };
  /** The last first. */
  readonly failedOffline: readonly FailedOffline[];
}

export interface UpstreamUsage {
  readonly upstream: string;
  /** GETs of manifests that were answered. Without the mirror each would have counted in the pull limit. */
  readonly pulls: number;
  /** Those that did count: the upstream was asked for the manifest. */
  readonly counted: number;
  /** Of manifests and blobs, and those that needed no transfer of their own. */
  readonly requests: number;
  readonly hits: number;
  /** Of blobs: manifests are some kilobytes. */
  readonly servedBytes: number;
  readonly fetchedBytes: number;
  /** `servedBytes` without `fetchedBytes`; below 0 where more was fetched than served. */
  readonly savedBytes: number;
  /** Blobs that were evicted and needed again within a week. */
  readonly evictedTooEarly: number;
  readonly evictedTooEarlyBytes: number;
}

/** Over all upstreams. */
export interface UsagePoint {
  /** When the hour or the day begins. */
  readonly at: string;
  readonly requests: number;
  readonly hits: number;
  readonly servedBytes: number;
  readonly fetchedBytes: number;
}

export interface PulledOnce {
  /** Canonical. */
  readonly repository: string;
  /** Those that point to it now. */
  readonly tags: readonly string[];
  readonly digest: string;
  readonly fetchedAt: string;
}

export interface FailedOffline {
  /** Canonical. */
  readonly repository: string;
  /** A tag or a digest. */
  readonly reference: string;
  /** Requests that failed because the upstream was away. */
  readonly times: number;
  readonly lastAt: string;
}

export interface UsageReportParts {
  readonly records: Pick<Records, 'look'>;
  readonly store: Pick<BlobStore, 'open'>;
}

const listedImages = 1000;

/** Errors: the signal's reason; `StoreError`. */
export async function describeUsage(
  usage: UsageSince,
  parts: UsageReportParts,
  signal: AbortSignal,
): Promise<UsageReport> {
  const once = await findImages(usage, parts, signal);
  return {
    since: isoOf(usage.sinceMs),
    until: isoOf(usage.untilMs),
    upstreams: Array.from(usage.upstreams, ([upstream, sums]) => {
      const { refetchedBlobs, refetchedBytes, ...usual } = sums;
      return {
        upstream,
        ...usual,
        savedBytes: sums.servedBytes - sums.fetchedBytes,
        evictedTooEarly: refetchedBlobs,
        evictedTooEarlyBytes: refetchedBytes,
      };
    }).sort((one, other) => other.servedBytes - one.servedBytes),
    days: usage.days.map(pointOf),
    hours: usage.hours.map(pointOf),
    pulledOnce: { images: once.length, listed: once.reverse().slice(0, listedImages) },
    failedOffline: usage.failed.map(({ atMs, ...failed }) => ({ ...failed, lastAt: isoOf(atMs) })),
  };
}

/** Without the manifests of single platforms, which an index of the same repository names. */
async function findImages(
  { fetchedOnce }: UsageSince,
  { records, store }: UsageReportParts,
  signal: AbortSignal,
): Promise<PulledOnce[]> {
  const found = new Map<
    string,
    { readonly tags: ReadonlyMap<string, string[]>; readonly children: Set<string> }
  >();
  const images: PulledOnce[] = [];
  const slice = new TimeSlice();
  for (const { repository, digest, atMs } of fetchedOnce) {
    signal.throwIfAborted();
    await slice.pause();
    const known = found.get(repository) ?? (await readRepository(repository, { records, store }, signal));
    found.set(repository, known);
    if (known.children.has(digest)) continue;
    images.push({ repository, tags: known.tags.get(digest) ?? [], digest, fetchedAt: isoOf(atMs) });
  }
  return images;
}

async function readRepository(repository: string, { records, store }: UsageReportParts, signal: AbortSignal) {
  const record = await records.look(repository);
  const tags = new Map<string, string[]>();
  for (const [tag, { descriptor }] of record.tags())
    tags.set(descriptor.digest, [...(tags.get(descriptor.digest) ?? []), tag]);
  const children = new Set<string>();
  for (const manifest of record.manifests()) {
    if (!/(?:index|list)\b/.test(manifest.mediaType)) continue;
    signal.throwIfAborted();
    const read = await ifReadable(readManifest(store, manifest));
    for (const { digest } of read?.parsed.manifests ?? []) children.add(digest);
  }
  return { tags, children };
}

function pointOf({ atMs, upstreams }: HistoryPoint): UsagePoint {
  const sums = Array.from(upstreams.values()).reduce(plus, noSums);
  const { requests, hits, servedBytes, fetchedBytes } = sums;
  return { at: isoOf(atMs), requests, hits, servedBytes, fetchedBytes };
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}
