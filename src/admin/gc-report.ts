/** What `cistern gc` asks for, and what it says. Field names are public (docs/operation.md). */

export interface GcWanted {
  readonly dryRun: boolean;
}

export interface GcReport {
  readonly dryRun: boolean;
  /** Those of which something goes. */
  readonly repositories: readonly RepositoryGc[];
  /** Those that could not be collected now, and why. */
  readonly skipped: readonly { readonly repository: string; readonly reason: string }[];
  /** Files that were removed, or would be, and their bytes. */
  readonly blobs: number;
  readonly freedBytes: number;
}

export interface RepositoryGc {
  readonly repository: string;
  readonly manifests: number;
  /** Links of blobs. */
  readonly links: number;
  /** Of what it has no longer. Other repositories, or the cache, may still have the same content. */
  readonly bytes: number;
  /** At most 1,000. */
  readonly removed: readonly {
    readonly kind: 'manifest' | 'link';
    /** Its digest. */
    readonly name: string;
    readonly bytes: number;
    readonly why: string;
  }[];
}
