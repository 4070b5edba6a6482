/**
 * `cistern restore`: a tag points again to what it pointed to before, and what was deleted comes back, as one line of the log. Holds
 * keep what comes back from a collection that runs meanwhile; without its blobs nothing comes back.
 */
import type { BlobHolds } from '../../content/blob-holds.ts';
import type { HeldFiles } from '../../content/held-files.ts';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { ParsedManifest } from '../../oci/manifest.ts';
import { isIndexType } from '../../oci/media-type.ts';
import type { Repository, Tag } from '../../oci/name.ts';
import { commitDecided } from '../commit.ts';
import type { ImmutableTags } from '../immutable-tags.ts';
import type { Cause, HostedChange, HostedLog, HostedManifest, HostedRepository } from '../log/hosted-log.ts';
import { listNeededBlobs } from '../pushed-manifest.ts';
import type { Quotas } from '../put-manifest.ts';

export interface TagRestoreOptions {
  readonly log: HostedLog;
  readonly files: Pick<HeldFiles, 'sizeOf'>;
  /** Undefined: not held, or bad. */
  readManifest(digest: Digest, mediaType: string): Promise<{ readonly parsed: ParsedManifest } | undefined>;
  readonly holds: BlobHolds;
  readonly immutable: ImmutableTags;
  readonly quotas: Quotas;
  /** How long after its delete a manifest can come back, in ms. */
  readonly undeleteMs: number;
  /** Errors: UNAVAILABLE. */
  requireWritable(): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** `tag`, `digest` or both are there. */
export interface RestoreWanted {
  /** Undefined: the manifest alone, and the tags that went with it. */
  readonly tag?: Tag;
  /** Undefined: by the history of the tag. */
  readonly digest?: Digest;
  /** What the tag pointed to then, in milliseconds since the epoch. Undefined: before its last move. */
  readonly at?: number;
}

export interface Restored {
  readonly digest: Digest;
  /** What points to it now and did not before. */
  readonly tags: readonly { readonly tag: Tag; readonly from?: Digest }[];
  /** With the children of an index. */
  readonly undeleted: readonly Digest[];
}

/** What comes back beside tags. */
interface Returning {
  readonly undeleted: Set<Digest>;
  readonly links: Map<Digest, number>;
}

/** Indexes in indexes. */
const maxDepth = 8;

export class TagRestore {
  readonly #options: TagRestoreOptions;

  constructor(options: TagRestoreOptions) {
    this.#options = options;
  }

  /** Errors: MANIFEST_UNKNOWN (nothing to come back to), MANIFEST_BLOB_UNKNOWN, DENIED, UNAVAILABLE. */
  async restore(
    name: Repository,
    wanted: RestoreWanted,
    { user, signal }: { readonly user: string; readonly signal: AbortSignal },
  ): Promise<Restored> {
    this.#options.requireWritable();
    const releases: (() => void)[] = [];
    const hold = async (digest: Digest) => void releases.push(await this.#options.holds.hold(digest));
    let restored: Restored | undefined;
    let unbook: (() => void) | undefined;
    try {
      const decide: Parameters<typeof commitDecided>[2] = async repository => {
        unbook?.();
        unbook = undefined;
        if (repository === undefined) throw unknown(`there is no hosted repository ${name}`);
        const digest = findRestoredDigest(repository, wanted);
        const returning: Returning = { undeleted: new Set(), links: new Map() };
        await this.#collect(repository, digest, hold, returning);
        const tags = this.#movesTo(repository, digest, wanted.tag);
        const isNew = ({ from }: Restored['tags'][number]) => from === undefined;
        const newTags = tags.filter(isNew).map(({ tag }) => tag);
        unbook = await this.#options.quotas.book(name, { links: returning.links, tags: newTags });
        restored = { digest, tags, undeleted: [...returning.undeleted] };
        return toChanges(restored, returning.links, { at: this.#options.now(), user, how: 'restore' });
      };
      await commitDecided(this.#options.log, name, decide, signal);
    } finally {
      unbook?.();
      for (const release of releases) release();
    }
    if (restored === undefined) throw new Error('a commit was never decided');
    return restored;
  }

  /** That manifest, and of an index its children that went too, with all that they need. */
  async #collect(
    repository: HostedRepository,
    digest: Digest,
    hold: (digest: Digest) => Promise<void>,
    returning: Returning,
    depth = 0,
  ): Promise<void> {
    const alive = repository.manifest(digest);
    const manifest = alive ?? this.#deleted(repository, digest);
    if (manifest === undefined) {
      if (depth > 0) return; // an index may lack children
      throw unknown(`${repository.name} has no ${digest} any more, and it can't come back`);
    }
    if (alive === undefined) returning.undeleted.add(digest);
    const needed = await this.#needsOf(repository.name, manifest);
    for (const blob of [digest, ...needed]) {
      await hold(blob);
      const size = await this.#options.files.sizeOf(blob);
      if (size === undefined) throw lost(repository.name, digest, blob);
      if (repository.link(blob) === undefined) returning.links.set(blob, size);
    }
    if (!isIndexType(manifest.descriptor.mediaType) || depth >= maxDepth) return;
    for (const child of manifest.names)
      if (!returning.undeleted.has(child)) await this.#collect(repository, child, hold, returning, depth + 1);
  }

  #deleted(repository: HostedRepository, digest: Digest): HostedManifest | undefined {
    const { undeleteMs, now } = this.#options;
    for (const deleted of repository.deletedManifests()) {
      if (deleted.descriptor.digest !== digest) continue;
      return now() - deleted.deletedAt < undeleteMs ? deleted : undefined;
    }
    return undefined;
  }

  /** The blobs without which it is no image. */
  async #needsOf(name: Repository, { descriptor }: HostedManifest): Promise<readonly Digest[]> {
    const { digest, mediaType } = descriptor;
    const held = await this.#options.readManifest(digest, mediaType);
    if (held === undefined) throw lost(name, digest, digest);
    return listNeededBlobs(held.parsed);
  }

  /** Without a tag: those that went with it and don't exist now. Errors: DENIED (409). */
  #movesTo(repository: HostedRepository, digest: Digest, tag: Tag | undefined): Restored['tags'] {
    if (tag === undefined) return findTagsLostWith(repository, digest).map(lostTag => ({ tag: lostTag }));
    const from = repository.tag(tag)?.to;
    if (from === digest) return [];
    this.#options.immutable.requireMovable(repository, tag, digest);
    return [{ tag, ...(from !== undefined && { from }) }];
  }
}

function toChanges(
  { digest, tags, undeleted }: Restored,
  links: ReadonlyMap<Digest, number>,
  cause: Cause,
): HostedChange[] {
  return [
    ...Array.from(links, ([blob, size]): HostedChange => ({ type: 'link', digest: blob, size, ...cause })),
    ...undeleted.map((gone): HostedChange => ({ type: 'undelete-manifest', digest: gone, ...cause })),
    ...tags.map(({ tag }): HostedChange => ({ type: 'tag', tag, digest, ...cause })),
  ];
}

/** Which manifest is meant, by the history of the tag. Errors: MANIFEST_UNKNOWN. */
function findRestoredDigest(repository: HostedRepository, { tag, digest, at }: RestoreWanted): Digest {
  if (digest !== undefined) return digest;
  if (tag === undefined) throw unknown(`no tag and no digest of ${repository.name} is given`);
  const image = `${repository.name}:${tag}`;
  const history = repository.history(tag);
  const [last] = history;
  if (last === undefined) throw unknown(`${image} never existed, as far as its history is kept`);
  if (at === undefined) {
    if (last.from !== undefined) return last.from;
    throw unknown(`${image} has only ever pointed to ${last.to}`);
  }
  const then = history.find(move => move.at <= at);
  if (then?.to !== undefined) return then.to;
  const since = then === undefined ? ', as far as its history is kept' : '';
  throw unknown(`${image} did not exist at ${new Date(at).toISOString()}${since}`);
}

/** Tags that don't exist now, and whose last move is that the manifest was deleted. */
function findTagsLostWith(repository: HostedRepository, digest: Digest): readonly Tag[] {
  const deletedAt = deletionOf(repository, digest);
  if (deletedAt === undefined) return [];
  const tags: Tag[] = [];
  for (const tag of repository.tagsWithHistory()) {
    const [last] = repository.history(tag);
    const wentWithIt = last?.to === undefined && last?.from === digest && last.at === deletedAt;
    if (wentWithIt) tags.push(tag);
  }
  return tags;
}

function deletionOf(repository: HostedRepository, digest: Digest): number | undefined {
  for (const { descriptor, deletedAt } of repository.deletedManifests())
    if (descriptor.digest === digest) return deletedAt;
  return undefined;
}

function unknown(message: string): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', { message });
}

function lost(name: Repository, digest: Digest, blob: Digest): RegistryError {
  const message = `${name}@${digest} can't come back: ${blob} is gone from the store`;
  return new RegistryError('MANIFEST_BLOB_UNKNOWN', { status: 404, message, detail: { digests: [blob] } });
}
