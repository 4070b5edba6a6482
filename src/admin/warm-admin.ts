/**
 * The contract of `cistern warm`: images are fetched before a client asks for them. The reports are printed as JSON, so their field names
 * are public (docs/operation.md). Times are ISO 8601, sizes bytes.
 */
export interface WarmRequest {
  /** As on the command line. */
  readonly images: readonly string[];
  /** `os/architecture[/variant]`, or `all`; none: that of the daemon's machine. */
  readonly platforms: readonly string[];
}

/**
 * `held`: nothing was missing · `fetched`: it is whole now · `failed`: `reason` says why · `skipped`: it is hosted here, or of no upstream
 * of this mirror · `waiting`: not done yet.
 */
export type WarmResult = 'held' | 'fetched' | 'failed' | 'skipped' | 'waiting';

export interface WarmedImage {
  /** Canonical: `docker.io/library/alpine:3.20`; as it was written where it names no image. */
  readonly image: string;
  readonly result: WarmResult;
  readonly digest: string | null;
  readonly fetchedBytes: number;
  readonly reason: string | null;
}

/** Nothing is asked of that upstream until then. */
export interface WarmWait {
  readonly upstream: string;
  /** `pull-limit`: what is left of it stays for clients · `limited`: it asked for a pause · `window`: the time of day. */
  readonly why: 'pull-limit' | 'limited' | 'window';
  readonly until: string;
  /** For people. */
  readonly message: string;
}

export interface WarmReport {
  /** `warm[0]`: that entry of the configuration; `command`. */
  readonly source: string;
  readonly platforms: readonly string[];
  readonly startedAt: string;
  /** Null: it runs or waits. */
  readonly endedAt: string | null;
  /** In the order of the request. */
  readonly images: readonly WarmedImage[];
  /** What Docker Hub counts. */
  readonly fetchedManifests: number;
  readonly fetchedBytes: number;
  readonly waiting: readonly WarmWait[];
}

/** An image that is done, in the order in which they are done; at the end the report. */
export type WarmEvent =
  | { readonly image: WarmedImage; readonly report?: never }
  | { readonly report: WarmReport; readonly image?: never };

/** What `stats` says of the last runs. */
export interface WarmSummary {
  readonly source: string;
  readonly startedAt: string;
  readonly endedAt: string | null;
  readonly images: number;
  readonly results: Readonly<Record<WarmResult, number>>;
  readonly fetchedBytes: number;
  readonly fetchedManifests: number;
  readonly waiting: readonly WarmWait[];
  /** At most 20, only for those on this machine: names of private repositories stay private. */
  readonly failures?: readonly Pick<WarmedImage, 'image' | 'reason'>[];
}

/** An entry of `warm` in the configuration. */
export interface WarmEntryReport {
  readonly source: string;
  /** Null: its run has not ended. */
  readonly nextAt: string | null;
}

export interface WarmStats {
  readonly schedule: readonly WarmEntryReport[];
  /** The last run of each entry, and the last commands; the newest first. */
  readonly runs: readonly WarmSummary[];
}
