/**
 * The contract of the commands `history`, `restore`, `promote` and `retention`. The reports are printed as JSON, so their field names are
 * public (docs/operation.md). Times are ISO 8601, sizes bytes. Errors of every method: NAME_INVALID, TAG_INVALID, DIGEST_INVALID;
 * MANIFEST_UNKNOWN; UNAVAILABLE; UNSUPPORTED where nothing is hosted, or a running daemon is needed.
 */

export interface TagAdmin {
  /** Of a tag, hosted or mirrored; the newest move first. */
  history(image: string, signal: AbortSignal): Promise<HistoryReport>;
  /** Of a hosted image. Also: MANIFEST_BLOB_UNKNOWN (its blobs are gone), DENIED (immutable, or above a quota). */
  restore(image: string, wanted: RestoreTime, by: AskedBy): Promise<RestoreReport>;
  /** `platforms` as `os/architecture[/variant]`; none: all of them. Also: DENIED, BLOB_UNKNOWN, MANIFEST_INVALID. */
  promote(from: string, to: string, platforms: readonly string[], by: AskedBy): Promise<PromoteReport>;
  /** What retention would do now. */
  explainRetention(signal: AbortSignal): Promise<RetentionReport>;
}

export interface AskedBy {
  readonly signal: AbortSignal;
  /** Whom the history names. Absent: the operator of this machine. */
  readonly user?: string | undefined;
}

/** Neither: what it was before the last move. */
export interface RestoreTime {
  readonly at?: string;
  readonly digest?: string;
}

export interface HistoryReport {
  readonly image: string;
  readonly hosted: boolean;
  /** The newest first. */
  readonly moves: readonly ReportedMove[];
}

export interface ReportedMove {
  readonly at: string;
  /** Null: the tag was gone from then on. */
  readonly digest: string | null;
  /** Null: anonymous, or what an upstream did. */
  readonly user: string | null;
  /** Null: an upstream did it. */
  readonly how: string | null;
  /** `deleted`: it can be restored for a while. Null: there was none. */
  readonly content: 'held' | 'deleted' | 'gone' | null;
}

export interface RestoreReport {
  readonly image: string;
  readonly digest: string;
  /** What points to it because of this command. Empty, as `undeleted`: nothing had to be changed. */
  readonly tags: readonly { readonly tag: string; readonly from: string | null }[];
  readonly undeleted: readonly string[];
}

export interface PromoteReport {
  readonly from: string;
  readonly to: string;
  readonly digest: string;
  /** What the tag pointed to before. */
  readonly previous: string | null;
  readonly manifests: number;
  readonly blobs: number;
  /** Of what the repository did not have before, and of what an upstream was asked for. */
  readonly linkedBytes: number;
  readonly fetchedBytes: number;
}

export interface RetentionReport {
  /** Every tag of every hosted repository. */
  readonly tags: readonly RetentionOfTag[];
}

export interface RetentionOfTag {
  readonly repository: string;
  readonly tag: string;
  readonly digest: string;
  readonly keeps: boolean;
  /** `no rule`, `immutable`, `pinned`, `newest`, `pushed`, `pulled` or `expired`. */
  readonly reason: string;
  /** Its place in `hosted.retention`, from 1; null: none matches. */
  readonly rule: number | null;
}
