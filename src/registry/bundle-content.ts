/** Where an export reads: a running daemon, which fetches what is missing, or a store without one, which only has what it has. */
import type { Digest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';

export interface ContentManifest {
  /** Canonical: `docker.io/library/alpine`, `team/app`. */
  readonly repository: string;
  /** The tag or the digest that was asked for. */
  readonly reference: string;
  readonly descriptor: Descriptor;
  /** They have the descriptor's digest. */
  readonly bytes: Buffer;
  /** When the upstream last confirmed the tag: milliseconds since the epoch. */
  readonly checkedAt?: number;
  /** Its repository is not open to all at the upstream. */
  readonly isPrivate?: boolean;
}

export interface ContentReferrers {
  readonly descriptors: readonly (Descriptor & { readonly artifactType?: string })[];
  /** Tags of the repository that belong to that digest: `sha256-HEX.sig`. */
  readonly tags: readonly string[];
  /** The upstream could not be asked for them. */
  readonly isUnknown: boolean;
}

/** Images are named as on the command line; `NAME@DIGEST` means one of a repository. Errors: `RegistryError`, and each method's signal. */
export interface BundleContent {
  /** Errors: MANIFEST_UNKNOWN, UNAVAILABLE: why it can't be had. */
  manifest(image: string, signal: AbortSignal): Promise<ContentManifest>;
  referrers(image: string, signal: AbortSignal): Promise<ContentReferrers>;
  /** Bytes of those that are held. */
  held(digests: readonly Digest[], signal: AbortSignal): Promise<ReadonlyMap<Digest, number>>;
  /** Into the store, if it isn't there: `NAME@DIGEST` of a blob. `onBytes` hears of bytes as they come. Resolves with its size. Errors: as `blob`. */
  fetch(image: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<number>;
  /** `NAME@DIGEST` of a blob. Errors: BLOB_UNKNOWN, UNAVAILABLE; a body that ends early is an error too. */
  blob(image: string, signal: AbortSignal): AsyncIterable<Buffer>;
}
