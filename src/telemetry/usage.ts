/**
 * What the daily report is made of: sums that only grow while the process lives, and notes of what counters can't tell. What keeps them
 * for longer reads them now and then; nothing is written while a request is served.
 */

/** Of one upstream. All are counts or bytes. */
export interface UsageSums {
  /** GETs of manifests that were answered: each of them would have counted in the upstream's pull limit. */
  readonly pulls: number;
  /** GETs of manifests that the upstream was asked for and gave: those that did count. */
  readonly counted: number;
  /** GETs of manifests and blobs that were answered, and those of them that needed no transfer of their own. */
  readonly requests: number;
  readonly hits: number;
  /** Of blobs: manifests are some kilobytes. */
  readonly servedBytes: number;
  readonly fetchedBytes: number;
}

export type UsageKey = keyof UsageSums;

/** Manifests that clients were given with GET. */
export interface PulledManifest {
  readonly digest: string;
  /** Canonical. */
  readonly repository: string;
  /** An upstream was asked for it. */
  readonly isFetched: boolean;
  /** Another client was given it without that. */
  readonly isPulledAgain: boolean;
}

export interface FailedPull {
  /** Canonical. */
  readonly repository: string;
  readonly reference: string;
  readonly times: number;
}

/** It was evicted and had so many bytes, or its download from that upstream began. */
export type BlobNote =
  | { readonly digest: string; readonly evictedBytes: number }
  | { readonly digest: string; readonly upstream: string };

/** Since the last reading. Each list has a bound; what is beyond it is not noted. */
export interface UsageNotes {
  readonly pulled: readonly PulledManifest[];
  /** In their order. */
  readonly blobs: readonly BlobNote[];
  /** The upstream could not be asked, and nothing that is held could go out. */
  readonly failed: readonly FailedPull[];
}

export interface UsageReading {
  /** Since the process began, by upstream. */
  readonly sums: ReadonlyMap<string, UsageSums>;
  readonly notes: UsageNotes;
}

export interface UsageSource {
  readUsage(): Promise<UsageReading>;
}
