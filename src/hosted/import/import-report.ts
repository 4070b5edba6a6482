/** What an import did, as `cistern import --from` prints it: field names are public (docs/operation.md). */
import { formatBytes } from '../../lib/format.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/name.ts';
import type { OnProgress } from '../../telemetry/progress.ts';

/** The old registry itself: asked for what its folder lacks or has damaged. Undefined: it hasn't it either. */
export interface ImportOrigin {
  manifest(repository: Repository, digest: Digest, signal: AbortSignal): Promise<Buffer | undefined>;
  blob(
    repository: Repository,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Buffer> | undefined>;
}

export interface SkippedImport {
  /** As the source names it. */
  readonly repository: string;
  /** A tag or a digest; null: the whole repository. */
  readonly reference: string | null;
  readonly reason: string;
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
  /** Of blobs that came. */
  readonly bytes: number;
  /** Tags `sha256-HEX` that only listed referrers, which are referrers by themselves now. */
  readonly mergedReferrerTags: number;
  readonly skipped: readonly SkippedImport[];
}

/** The report while it grows. */
export class ImportTally {
  readonly manifests = { imported: 0, present: 0 };
  readonly tags = { imported: 0, present: 0 };
  readonly blobs = { present: 0, reflink: 0, hardlink: 0, copy: 0, fetched: 0 };
  readonly skipped: SkippedImport[] = [];
  repositories = 0;
  bytes = 0;
  mergedReferrerTags = 0;
  /** That the folder has. */
  found = 0;
  readonly #onProgress: OnProgress | undefined;

  constructor(onProgress?: OnProgress) {
    this.#onProgress = onProgress;
  }

  /** Something of that repository has come. */
  progressed(repository: Repository): void {
    const manifests = this.manifests.imported + this.manifests.present;
    const note = `${repository}, ${manifests} manifests, ${formatBytes(this.bytes)}`;
    this.#onProgress?.({ done: this.repositories, total: this.found, unit: 'repositories', note });
  }

  skip(repository: string, reference: string | null, reason: string): void {
    this.skipped.push({ repository, reference, reason });
  }

  report(source: string): ImportReport {
    const { repositories, manifests, tags, blobs, bytes, mergedReferrerTags, skipped } = this;
    return { source, repositories, manifests, tags, blobs, bytes, mergedReferrerTags, skipped };
  }
}
