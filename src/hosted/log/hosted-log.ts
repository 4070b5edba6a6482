/**
 * The contract in front of the log of hosted repositories: what happened to a repository, and what it is now. `LoggedRepositories`
 * implements it over append-only files; a bucket can be a second implementation. A commit is durable before it is visible, and
 * visible before `commit` resolves.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import type { Repository, Tag } from '../../oci/name.ts';

/** When, by whom and why. */
export interface Cause {
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** The login name; undefined: anonymous, or the daemon itself. */
  readonly user?: string;
  readonly how:
    | 'push'
    | 'mount'
    | 'adopt'
    | 'promote'
    | 'import'
    | 'restore'
    | 'delete'
    | 'retention'
    | 'collect'
    | 'repair';
}

/** A pushed manifest, with what is read of it. */
export interface HostedManifest extends Cause {
  readonly descriptor: Descriptor;
  /** The config's type where the manifest has none of its own (OCI distribution-spec "Listing Referrers"). */
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly subject?: Digest;
  /** Config, layers, and the children of an index, each once: as blobs or as manifests, whichever they are. */
  readonly names: readonly Digest[];
  /** When a client last pulled it, to the hour: milliseconds since the epoch. */
  readonly pulledAt?: number;
}

/** The link by which a repository has a blob. Manifests have one too. */
export interface HostedLink extends Cause {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** `from` or `to` undefined: there was no such tag before, or there is none since. */
export interface TagMove extends Cause {
  readonly tag: Tag;
  readonly from?: Digest;
  readonly to?: Digest;
}

export type HostedChange =
  | ({ readonly type: 'link' } & HostedLink)
  | ({ readonly type: 'unlink'; readonly digest: Digest } & Cause)
  /** With its link, its subject and the tags that point to it from now on: all of it is one line. */
  | ({ readonly type: 'manifest'; readonly tags: readonly Tag[] } & HostedManifest)
  | ({ readonly type: 'tag'; readonly tag: Tag; readonly digest: Digest } & Cause)
  | ({ readonly type: 'untag'; readonly tag: Tag } & Cause)
  /** Its tags go too. It can be restored until a collection drops it. */
  | ({ readonly type: 'delete-manifest'; readonly digest: Digest } & Cause)
  | ({ readonly type: 'undelete-manifest'; readonly digest: Digest } & Cause)
  /** The manifest and its link are gone for good. */
  | ({ readonly type: 'drop-manifest'; readonly digest: Digest } & Cause)
  | { readonly type: 'pulled'; readonly digest: Digest; readonly at: number };

/** One repository as it is now. Reads are synchronous: all of it is in memory. */
export interface HostedRepository {
  readonly name: Repository;
  /** Grows at each commit, `pulled` left out. */
  readonly generation: number;
  /** Undefined: never pushed, or deleted. */
  manifest(digest: Digest): HostedManifest | undefined;
  /** All that are not deleted, in no order. */
  manifests(): Iterable<HostedManifest>;
  /** Deleted, and not dropped yet. */
  deletedManifests(): Iterable<HostedManifest & { readonly deletedAt: number }>;
  link(digest: Digest): HostedLink | undefined;
  links(): Iterable<HostedLink>;
  /** Where the tag points to, and since when. */
  tag(tag: Tag): TagMove | undefined;
  /** Sorted as bytes. */
  tags(): readonly Tag[];
  tagsOf(digest: Digest): readonly Tag[];
  /** Manifests that are not deleted and have that subject, whether it exists or not. */
  referrers(subject: Digest): readonly HostedManifest[];
  /** Manifests that are not deleted and name that digest. */
  namedBy(digest: Digest): readonly HostedManifest[];
  /** The newest first: at most 100, and those of 400 days. */
  history(tag: Tag): readonly TagMove[];
  /** Every tag that exists or existed. */
  tagsWithHistory(): Iterable<Tag>;
}

/** What a decision was made by: where these tags point to, and whether the repository has these digests, and of what size. */
export interface DecidedBy {
  readonly tags: readonly Tag[];
  readonly digests: readonly Digest[];
}

export interface CommitScope {
  /** Commits after `expectedGeneration` that change none of it are no conflict. Absent: any of them is. */
  readonly by?: DecidedBy | undefined;
  /** The caller's own. */
  readonly turn?: Turn | undefined;
}

export interface Turn {
  giveBack(): void;
}

export interface HostedLog {
  /** All logs have been read, so that `References` are complete. Until then nothing may be removed from the store. */
  readonly isComplete: boolean;
  /** Sorted as bytes: every repository that has a manifest or a link. Closed ones are among them. */
  names(): readonly Repository[];
  /** Undefined: no such repository. Errors: UNAVAILABLE when its log can't be read. */
  readRepository(name: Repository): Promise<HostedRepository | undefined>;
  /** What is in memory, for answers without a wait. */
  peek(name: Repository): HostedRepository | undefined;
  /**
   * Appends all changes as one line, or none. Commits that come while one is written share the next sync. Errors: UNAVAILABLE when the log
   * can't be written or its repository is closed; `GenerationConflict` when `expectedGeneration` is given and another commit came before.
   */
  commit(
    name: Repository,
    changes: readonly HostedChange[],
    expectedGeneration?: number,
    scope?: CommitScope,
  ): Promise<HostedRepository>;
  /**
   * Resolves when all earlier commits are written; others wait until the caller gives the turn back, once. Commit with it, and wait for no
   * other commit of that repository meanwhile. Errors: UNAVAILABLE when its log can't be read or its repository is closed.
   */
  takeTurn(name: Repository): Promise<Turn>;
  /** Repositories whose log is damaged or unreadable. While there is one, nothing is evicted or collected in the whole store. */
  closed(): ReadonlyMap<Repository, string>;
}

/** How many hosted repositories link a digest. */
export interface References {
  /** False: none does, as far as the logs have been read. */
  has(digest: Digest): boolean;
  /** Of what is linked, each digest once. Bytes. */
  readonly bytes: number;
}

/** Another commit of that repository came first: read it again and decide anew. */
export class GenerationConflict extends Error {
  constructor(name: Repository) {
    super(`${name} has changed in between`);
    this.name = 'GenerationConflict';
  }
}
