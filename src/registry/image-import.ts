/**
 * An image that came from a bundle, checked whole, as a registry takes it over: all of its content is in the store already, and nothing
 * of it can be seen before.
 */
import type { Digest } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import type { Repository, Tag } from '../oci/name.ts';

/** As it stands in a list of referrers (OCI distribution-spec "Listing Referrers"). */
export interface ImportedReferrer extends Descriptor {
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ImportedImage {
  /** Canonical: `docker.io/library/alpine`; of a hosted repository `team/app`. */
  readonly name: string;
  /** Within its registry. */
  readonly repository: Repository;
  /** Undefined: it was taken by its digest. */
  readonly tag?: Tag;
  readonly root: Descriptor;
  /** Each once, what is named before what names it; the root is among them, and what refers to it. */
  readonly manifests: readonly Descriptor[];
  /** Bytes by digest: what the manifests name besides manifests. */
  readonly blobs: ReadonlyMap<Digest, number>;
  /** By subject: what refers to it, as far as the bundle has it. */
  readonly referrers: ReadonlyMap<Digest, readonly ImportedReferrer[]>;
  /** When the upstream last confirmed the tag: milliseconds since the epoch. */
  readonly checkedAt?: number;
  /** Its repository is not open to all at the upstream. */
  readonly isPrivate: boolean;
  /** The bytes of one of `manifests`, which have its digest. Errors: MANIFEST_UNKNOWN when it has gone meanwhile. */
  read(manifest: Descriptor): Promise<Buffer>;
}

/** `kept`: all of it is here, and the tag stays where it was; why. */
export type ImportResult =
  | { readonly result: 'imported' | 'present' }
  | { readonly result: 'kept'; readonly reason: string };

export interface ImageImporter {
  /**
   * Whether `add` would take it; what it needs of a quota is booked until the function that it gives is called. Changes nothing else.
   * Errors: DENIED, MANIFEST_INVALID, UNAVAILABLE.
   */
  check(image: ImportedImage): Promise<() => void>;
  /** After `check`. Durable when it resolves. Errors: those of `check`; `StoreError`; the signal's reason. */
  add(image: ImportedImage, signal: AbortSignal): Promise<ImportResult>;
}
