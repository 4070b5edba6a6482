/**
 * The contract of `export`, `import FILE` and `digests`. An export reads through `content` and writes the tar itself; an import gives the tar
 * to the process that has the store. Field names of the report are public (docs/operation.md).
 */
import type { Digest } from '../oci/digest.ts';
import type { BundleContent } from '../registry/bundle-content.ts';

export interface BundleAdmin {
  readonly content: BundleContent;
  /** Of every file in the store, manifests too, in no order. Errors: `StoreError` scan. */
  digests(signal: AbortSignal): AsyncIterable<Digest>;
  /**
   * All or nothing as to what can be seen; blobs that came are kept either way. Errors: MANIFEST_INVALID, BLOB_UPLOAD_INVALID,
   * MANIFEST_BLOB_UNKNOWN, NAME_UNKNOWN, DENIED, UNAVAILABLE; those of `tar`.
   */
  importBundle(tar: AsyncIterable<Buffer>, signal: AbortSignal): Promise<BundleReport>;
}

export interface BundleReport {
  readonly images: readonly BundleImageReport[];
  readonly blobs: {
    /** They were not here before. */
    readonly imported: number;
    readonly present: number;
  };
  /** Of the imported ones. */
  readonly bytes: number;
  /** Manifests of the bundle that no image of it has to do with. */
  readonly unrelated: readonly string[];
}

export interface BundleImageReport {
  readonly image: string;
  readonly digest: string;
  /** `kept`: its content is here, and the tag stays where it was. */
  readonly result: 'imported' | 'present' | 'kept';
  readonly reason: string | null;
  /** Manifests that refer to it, directly or not. */
  readonly referrers: number;
}
