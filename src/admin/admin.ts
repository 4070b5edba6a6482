/**
 * The contract of the commands `stats`, `ls`, `refresh`, `evict`, `pin`, `unpin` and those of the private registry. The reports are printed as JSON, so their field names
 * are public (docs/operation.md). Times are ISO 8601, sizes bytes. Errors of every method: NAME_INVALID, TAG_INVALID, DIGEST_INVALID;
 * MANIFEST_UNKNOWN, BLOB_UNKNOWN (not held); DENIED (pinned); UNAVAILABLE (the store can't be written).
 */

import type { ScrubReport, ScrubRequest, ScrubStatus } from '../registry/scrub-report.ts';
import type { Outcome } from '../telemetry/observer.ts';
import type { OnProgress } from '../telemetry/progress.ts';
import type { BundleAdmin } from './bundle-admin.ts';
import type { GcReport, GcWanted } from './gc-report.ts';
import type { TagAdmin } from './tag-admin.ts';
import type { UsageReport } from './usage-report.ts';
import type { WarmEvent, WarmRequest, WarmStats } from './warm-admin.ts';

export interface Admin {
  stats(wanted?: StatsWanted): Promise<StatsReport>;
  /** All held images, or those that match a pattern as clients write images (`busybox:*`, `ghcr.io/**`); sorted. */
  list(pattern: string | undefined, signal: AbortSignal): Promise<ListReport>;
  /** Checks a tag now. UNSUPPORTED where no upstream can be asked. */
  refresh(image: string, signal: AbortSignal): Promise<RefreshReport>;
  /** With `dryRun` nothing changes, and the report says what would. */
  evict(image: string, signal: AbortSignal, wanted?: { readonly dryRun?: boolean }): Promise<EvictReport>;
  pin(image: string, signal: AbortSignal): Promise<PinReport>;
  unpin(image: string, signal: AbortSignal): Promise<PinReport>;
  /** `history`, `restore`, `promote` and `retention`. */
  readonly tags: TagAdmin;
  /** `export`, `import FILE` and `digests`. */
  readonly bundles: BundleAdmin;
  /** NAME_UNKNOWN for a folder without repositories; UNSUPPORTED where nothing is hosted. */
  importFolder: ImportFolder;
  /** Rebuilds the damaged log of a hosted repository, or of all whose log is damaged. UNSUPPORTED for one that is in order. */
  repair(repository: string | undefined, signal: AbortSignal): Promise<RepairReport>;
  /** Sends a target of `notifications` all that its spool keeps, again. UNSUPPORTED without a daemon; NAME_UNKNOWN. */
  replay(target: string, signal: AbortSignal): Promise<ReplayReport>;
  /** Collects the hosted repositories now, or says what that would remove. UNSUPPORTED where no daemon hosts any. */
  gc(wanted: GcWanted, signal: AbortSignal, onProgress?: OnProgress): Promise<GcReport>;
  /** Compares all that is held with its digests: joins the run that is under way, or goes on with one that ended early. */
  scrub(wanted: ScrubRequest, signal: AbortSignal, onProgress?: OnProgress): Promise<ScrubReport>;
  /** Fetches images ahead; ends when nothing more can be done now. UNSUPPORTED without a daemon. Errors: the signal's reason. */
  warm(request: WarmRequest, signal: AbortSignal): AsyncIterable<WarmEvent>;
  /** Was it worth it: since then (milliseconds since the epoch). */
  report(sinceMs: number, signal: AbortSignal): Promise<UsageReport>;
  /** Whether the private registry refuses pushes and deletes from now on. Undefined: only says. UNSUPPORTED as for `gc`. */
  readOnly(state: boolean | string | undefined, signal: AbortSignal): Promise<ReadOnlyReport>;
}

export interface ReplayReport {
  readonly target: string;
  /** So many are to be sent now, with those that were not sent before. */
  readonly events: number;
}

export interface ReadOnlyReport {
  /** Text: what refused clients are told. */
  readonly readOnly: boolean | string;
}

export interface RepairReport {
  readonly repairs: readonly RepositoryRepair[];
}

export interface RepositoryRepair {
  readonly repository: string;
  /** All that it has now. */
  readonly manifests: number;
  readonly tags: number;
  /** Manifests whose lines were lost, found in the store; by digest. */
  readonly found: readonly string[];
  /** Tags that damaged lines name, and that exist no longer. */
  readonly lostTags: readonly string[];
  /** Tags that damaged lines name, and that may have pointed elsewhere. */
  readonly doubtfulTags: readonly string[];
  /** Lines are lost that name nothing: there may have been further tags. */
  readonly mayMissTags: boolean;
  /** Where the damaged log is. */
  readonly damagedLog: string;
}

export type ImportFolder = (
  request: ImportRequest,
  signal: AbortSignal,
  onProgress?: OnProgress,
) => Promise<ImportReport>;

/** The storage folder of another registry. */
export interface ImportRequest {
  /** Absolute. */
  readonly from: string;
  /** That registry itself, for what the folder lacks. */
  readonly fromUrl?: string;
  /** Put before each repository's name. */
  readonly into?: string;
}

export interface ImportReport {
  readonly source: string;
  readonly repositories: number;
  readonly manifests: { readonly imported: number; readonly present: number };
  readonly tags: { readonly imported: number; readonly present: number };
  /** By how they came; `present` were in the store. */
  readonly blobs: {
    readonly present: number;
    readonly reflink: number;
    readonly hardlink: number;
    readonly copy: number;
    readonly fetched: number;
  };
  readonly bytes: number;
  readonly mergedReferrerTags: number;
  readonly skipped: readonly {
    readonly repository: string;
    readonly reference: string | null;
    readonly reason: string;
  }[];
}

export interface ListReport {
  readonly images: readonly ListedImage[];
}

/** A tag, or a manifest that no tag and no index of its repository names. */
export interface ListedImage {
  /** Canonical: `docker.io/library/alpine`. */
  readonly repository: string;
  readonly tag: string | null;
  readonly digest: string;
  readonly mediaType: string;
  /** Config and layers are held; of an index: those of one image in it. */
  readonly complete: boolean;
  /** Of distinct blobs and manifests that held manifests name: those that are held, and all that are needed. */
  readonly heldBytes: number;
  readonly neededBytes: number;
  /** When the upstream last confirmed the tag. */
  readonly checkedAt: string | null;
  /** Of its most recently used blob. */
  readonly lastUsedAt: string | null;
  /** By its tag or its digest. */
  readonly pinned: boolean;
}

export interface RefreshReport {
  readonly image: string;
  /** `unknown`: the upstream could not be asked, or not in time; `reason` says why. */
  readonly result: 'same' | 'moved' | 'gone' | 'unknown';
  /** What the tag pointed to before, and points to now. */
  readonly from: string;
  readonly to: string;
  readonly reason: string | null;
}

export interface EvictReport {
  readonly image: string;
  readonly freedBytes: number;
  readonly tags: readonly string[];
  readonly manifests: number;
  readonly blobs: number;
  /** Its blobs and manifests that stay: other images need them, they are pinned, or they are being filled. */
  readonly kept: number;
}

export interface PinReport {
  readonly image: string;
  readonly digest: string | null;
  /** False: nothing had to be changed. */
  readonly changed: boolean;
  /** Configs and layers that the pin keeps now; `missingBlobs` of them are not held yet. */
  readonly blobs: number;
  readonly missingBlobs: number;
  readonly heldBytes: number;
}

/** Parts of `stats` that are read only when they are wanted. */
export interface StatsWanted {
  readonly clients?: boolean;
  readonly next?: boolean;
}

export interface StatsReport {
  readonly version: string;
  readonly store: StoreReport;
  /** Null: no daemon runs. */
  readonly daemon: DaemonReport | null;
}

export interface StoreReport {
  /** Only for those on this machine. */
  readonly path?: string;
  /** Blobs, manifests and partials. */
  readonly bytes: number;
  /** Without manifests. */
  readonly blobs: number;
  readonly limitBytes: number | null;
  readonly limitReason: string;
  /** Of the disk. */
  readonly freeBytes: number | null;
  readonly partialBytes: number;
  readonly pinnedBytes: number;
  /** False: the store is still being read after the start, and the figures grow. */
  readonly scanned: boolean;
}

export interface DaemonReport {
  readonly pid: number;
  readonly startedAt: string;
  readonly uptimeSeconds: number;
  readonly lru: { readonly backend: string; readonly up: boolean };
  readonly upstreams: readonly UpstreamReport[];
  readonly downloads: readonly DownloadReport[];
  readonly uploads: readonly UploadReport[];
  readonly scrub: ScrubStatus;
  /** Of manifests and blobs, since the start. */
  readonly requests: Readonly<Record<Outcome, number>>;
  readonly servedBytes: number;
  readonly upstreamBytes: number;
  /** Share of hits, joined and stale ones among all that were no errors, 0 … 1; null before the first. */
  readonly hitRatio: { readonly requests: number | null; readonly bytes: number | null };
  readonly evictions: { readonly blobs: number; readonly bytes: number };
  /** Absent: nothing is scheduled, and nothing was warmed since the start. */
  readonly warm?: WarmStats;
  /** With `--clients`: by address, first who cost most counted upstream requests. */
  readonly clients?: readonly ClientReport[];
  /** With `--next`: the blobs that an eviction takes next, coldest first. */
  readonly next?: readonly NextReport[];
}

export interface ClientReport {
  readonly address: string;
  readonly hour: ClientUsageReport;
  readonly day: ClientUsageReport;
}

export interface ClientUsageReport {
  readonly pulls: number;
  readonly bytes: number;
  /** Manifests that an upstream was asked for on this client's behalf. */
  readonly upstreamCounted: number;
}

export interface NextReport {
  readonly digest: string;
  readonly bytes: number;
  readonly lastUsedAt: string;
}

export interface UpstreamReport {
  readonly upstream: string;
  /** The last exchange got an answer; null: none yet. */
  readonly up: boolean | null;
  /** It failed often and gets no request until a probe succeeds. */
  readonly breakerOpen: boolean;
  /** It asked for no requests until then. */
  readonly pausedUntil: string | null;
  readonly rateLimit: number | null;
  readonly rateRemaining: number | null;
  /** Whether it takes the configured ones; null: there are none, or they were not used yet. */
  readonly credentials: 'ok' | 'refused' | null;
}

export interface DownloadReport {
  /** As `repository`: what a private repository pulls stays private. */
  readonly digest?: string;
  readonly upstream: string;
  /** Only for clients on this machine: names of private repositories stay private. */
  readonly repository?: string;
  /** The bytes that followers may read, and the whole size if known. */
  readonly frontBytes: number;
  readonly sizeBytes: number | null;
  readonly followers: number;
  /** On average since this download began. */
  readonly bytesPerSecond: number;
}

/** An upload session that a request uses now, or did a short while ago. */
export interface UploadReport {
  /** Only for clients on this machine, as of downloads. */
  readonly repository?: string;
  /** Null: anonymous. */
  readonly user: string | null;
  readonly startedAt: string;
  /** Written so far: the whole size is known only at the end. */
  readonly bytes: number;
  /** On average since it began, or since the daemon did. */
  readonly bytesPerSecond: number;
}
