/**
 * An image that is to be copied into a registry, wherever it comes from: its manifests, and the blobs that they name. The
 * bytes of a blob can be read again from any offset, so that a transfer goes on where it was cut.
 */
import type { Digest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';

export interface SourceManifest {
  readonly descriptor: Descriptor;
  /** They have the descriptor's digest. */
  readonly bytes: Buffer;
}

export interface ImageSource {
  /** What was found, for people: `OCI layout`. */
  readonly kind: string;
  /** Each once, children before the index that names them. The last one is the image. */
  readonly manifests: readonly SourceManifest[];
  /** Config and layers of all manifests, each once. The source has each in full length. */
  readonly blobs: readonly Descriptor[];
  /** The bytes of one of `blobs` from `at` on. Errors: those of the file system. */
  read(digest: Digest, at: number): AsyncIterable<Buffer>;
  /** Removes what was written for this source. Idempotent. */
  close(): Promise<void>;
}

export type SourceErrorCode =
  /** It is neither of the kinds that are read, or what it says about itself isn't so. */
  | 'SOURCE_INVALID'
  /** It holds several images, or not the one that was asked for. */
  | 'SOURCE_AMBIGUOUS';

/** What is wrong with a source, in words for the user. */
export class SourceError extends Error {
  readonly code: SourceErrorCode;

  constructor(code: SourceErrorCode, message: string) {
    super(message);
    this.name = 'SourceError';
    this.code = code;
  }
}
