/**
 * A repository as the page shows it, mirrored or hosted: its tags and manifests with their times. Reads are synchronous and from memory.
 * Times are milliseconds since the epoch.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Reference, Tag } from '../../oci/name.ts';
import type { TypedDigest } from '../../store/records/image-tree.ts';

export interface HeldTag extends TypedDigest {
  /** Since when it points there, as seen here. */
  readonly sinceMs: number | undefined;
  /** When the upstream last confirmed it; undefined: it has none. */
  readonly checkedMs: number | undefined;
}

export interface HeldManifest extends TypedDigest {
  /** Since when it is here; undefined: not known. */
  readonly sinceMs: number | undefined;
  /** When it was last pulled, where that is noted for manifests. */
  readonly usedMs: number | undefined;
}

/** A manifest that names another one as its subject. */
export interface HeldReferrer extends TypedDigest {
  /** Bytes. */
  readonly size: number | undefined;
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface HeldRepository {
  /** Canonical: `docker.io/library/alpine`; hosted names have no host. */
  readonly name: string;
  /** The configured key, or `hosted`. */
  readonly upstream: string;
  readonly lastUseMs: number | undefined;
  /** How many there are. */
  readonly counts: { readonly tags: number; readonly manifests: number; readonly pins: number };
  /** In no order. */
  tags(): Iterable<Tag>;
  tag(tag: Tag): HeldTag | undefined;
  tagsOf(digest: Digest): readonly Tag[];
  manifest(digest: Digest): HeldManifest | undefined;
  manifests(): Iterable<HeldManifest>;
  /** Another manifest of this repository is known to need it, so it is no image of its own. Undefined: its manifests say. */
  isNamed(digest: Digest): boolean | undefined;
  isPinned(reference: Reference): boolean;
  /** A client has asked for that blob before. */
  wasAsked(digest: Digest): boolean;
  /** Undefined: the manifests and tags of this repository say. */
  referrers(subject: Digest): readonly HeldReferrer[] | undefined;
}
