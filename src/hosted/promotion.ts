/**
 * `cistern promote`: an image of any repository that this process serves becomes one of a hosted repository. What is missing comes through
 * the cache; then links and manifests are written, and no byte is copied. The tag moves last, when all of the image is there.
 */
import type { BlobHolds } from '../content/blob-holds.ts';
import type { HeldFiles } from '../content/held-files.ts';
import type { HotManifests } from '../content/hot-manifests.ts';
import { Limit } from '../lib/limit.ts';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { isBlobChild } from '../oci/image-needs.ts';
import { type Descriptor, type ParsedManifest, parseOrKeep } from '../oci/manifest.ts';
import { walkManifests } from '../oci/manifest-walk.ts';
import type { Reference, Repository, Tag } from '../oci/name.ts';
import { fitsPlatform, type Platform } from '../oci/platform.ts';
import { operatorCaller } from '../registry/caller.ts';
import { drainBlob } from '../registry/drain-blob.ts';
import type { ManifestAnswer, RegistryReader } from '../registry/registry.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import { commitDecided } from './commit.ts';
import type { ImmutableTags } from './immutable-tags.ts';
import type { Cause, HostedChange, HostedLog, HostedRepository } from './log/hosted-log.ts';
import { type PushedManifest, readPushedManifest, toManifestChange } from './pushed-manifest.ts';
import type { Quotas } from './put-manifest.ts';

export interface PromotionOptions {
  readonly log: HostedLog;
  readonly store: Pick<BlobStore, 'put' | 'syncName'>;
  readonly files: Pick<HeldFiles, 'sizeOf'>;
  readonly manifests: Pick<HotManifests, 'keep'>;
  readonly holds: BlobHolds;
  readonly immutable: ImmutableTags;
  readonly quotas: Quotas;
  /** Resolves when no download of that blob runs: its file is in its place, or will not be. */
  downloaded(digest: Digest): Promise<void>;
  /** Errors: UNAVAILABLE. */
  requireWritable(): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface PromotionSource {
  readonly registry: Pick<RegistryReader, 'manifest' | 'blob'>;
  readonly repository: Repository;
  readonly reference: Reference;
  /** Of an index, only these children; empty: all. */
  readonly platforms: readonly Platform[];
}

export interface PromotedBy {
  /** Whom the history of the tag names. */
  readonly user: string;
  readonly signal: AbortSignal;
}

export interface Promoted {
  readonly digest: Digest;
  readonly descriptor: Descriptor;
  /** What the tag pointed to before. */
  readonly from?: Digest;
  readonly manifests: number;
  readonly blobs: number;
  /** Of what the repository did not link before, and of what an upstream had to be asked for. Bytes. */
  readonly linkedBytes: number;
  readonly fetchedBytes: number;
}

interface Taken {
  readonly pushed: PushedManifest;
  readonly bytes: Buffer;
  readonly blobs: readonly Digest[];
}

const fetchesAtOnce = 3;

export class Promotion {
  readonly #options: PromotionOptions;

  constructor(options: PromotionOptions) {
    this.#options = options;
  }

  /**
   * Errors: MANIFEST_UNKNOWN, BLOB_UNKNOWN and UNAVAILABLE of the source; MANIFEST_INVALID for what is no image of today;
   * DENIED for a quota and an immutable tag; UNAVAILABLE.
   */
  async promote(
    source: PromotionSource,
    { name, tag }: { readonly name: Repository; readonly tag: Tag },
    by: PromotedBy,
  ): Promise<Promoted> {
    const { requireWritable, log, holds } = this.#options;
    const { signal } = by;
    requireWritable();
    const releases: (() => void)[] = [];
    let unbook: (() => void) | undefined;
    try {
      const taken = await this.#takeManifests(source, signal);
      const [root] = taken;
      if (root === undefined) throw new Error('a walk gives its root');
      const { descriptor } = root.pushed;
      const { digest } = descriptor;
      const before = await log.readRepository(name);
      this.#options.immutable.requireMovable(before, tag, digest);
      const blobs = [...new Set(taken.flatMap(manifest => manifest.blobs))];
      for (const held of [...blobs, ...taken.map(({ pushed }) => pushed.descriptor.digest)])
        releases.push(await holds.hold(held));
      const added = addedTo(before, taken, blobs);
      const newTags = before?.tag(tag) === undefined ? [tag] : [];
      unbook = await this.#options.quotas.book(name, { links: added, tags: newTags });
      const { sizes, fetchedBytes } = await this.#fetchBlobs(source, blobs, signal);
      requireSizes(taken, sizes);
      for (const manifest of taken.slice(1).reverse()) await this.#commit(name, manifest, [], sizes, by);
      const from = await this.#commit(name, root, [tag], sizes, by);
      const linkedBytes = [...added.values()].reduce((sum, size) => sum + size, 0);
      const counts = { manifests: taken.length, blobs: blobs.length, linkedBytes, fetchedBytes };
      return { digest, descriptor, ...(from !== undefined && { from }), ...counts };
    } finally {
      unbook?.();
      for (const release of releases) release();
    }
  }

  /** The root first. */
  async #takeManifests(source: PromotionSource, signal: AbortSignal): Promise<Taken[]> {
    const { registry, repository, reference, platforms } = source;
    const read = async (wanted: Reference): Promise<{ parsed: ParsedManifest; answer: ManifestAnswer }> => {
      const answer = await registry.manifest(repository, wanted, { signal, caller: operatorCaller });
      const parsed = parseOrKeep(answer.bytes, answer.descriptor.mediaType);
      const isWanted = ({ platform }: ParsedManifest['manifests'][number]) =>
        platforms.length === 0 ||
        (platform !== undefined && platforms.some(asked => fitsPlatform(platform, asked)));
      const manifests = parsed.manifests.filter(isWanted);
      if (parsed.kind === 'index' && manifests.length === 0 && platforms.length > 0)
        throw new RegistryError('MANIFEST_UNKNOWN', {
          message: `${repository}@${answer.descriptor.digest} has no image for the given platforms`,
        });
      return { parsed: { ...parsed, manifests }, answer };
    };
    const root = await read(reference);
    const rootDigest = root.answer.descriptor.digest;
    const taken: Taken[] = [];
    const walk = walkManifests([root.answer.descriptor], async ({ digest }) =>
      digest === rootDigest ? root : read(digest),
    );
    for await (const { found, named } of walk) {
      if (found === undefined)
        throw new RegistryError('MANIFEST_INVALID', {
          message: `${repository}@${rootDigest} is larger than this registry takes: ${named.digest} is beyond its limits`,
        });
      const { bytes, descriptor } = found.answer;
      const pushed = readPushedManifest(bytes, descriptor.mediaType, descriptor.digest);
      const children = found.parsed.manifests.filter(isBlobChild).map(({ digest }) => digest);
      taken.push({ pushed, bytes, blobs: [...pushed.needed, ...children] });
    }
    return taken;
  }

  async #fetchBlobs(
    source: PromotionSource,
    blobs: readonly Digest[],
    signal: AbortSignal,
  ): Promise<{ readonly sizes: ReadonlyMap<Digest, number>; readonly fetchedBytes: number }> {
    const { files, store } = this.#options;
    const sizes = new Map<Digest, number>();
    const limit = new Limit({ maxRunning: fetchesAtOnce });
    const stop = new AbortController(); // when one can't be had, the others are of no use
    const both = AbortSignal.any([signal, stop.signal]);
    let fetchedBytes = 0;
    const bring = async (digest: Digest) => {
      both.throwIfAborted();
      let size = await files.sizeOf(digest);
      if (size === undefined) {
        size = await this.#fetch(source, digest, both);
        fetchedBytes += size;
      }
      await store.syncName(digest);
      sizes.set(digest, size);
    };
    try {
      await Promise.all(blobs.map(digest => limit.run(() => bring(digest))));
    } finally {
      stop.abort(new Error('the promotion has ended'));
    }
    return { sizes, fetchedBytes };
  }

  /** As a client pulls it, so that it is kept by the cache's own rules. Resolves with its size. */
  async #fetch(source: PromotionSource, digest: Digest, signal: AbortSignal): Promise<number> {
    const { registry, repository } = source;
    await drainBlob(registry, repository, digest, signal);
    await this.#options.downloaded(digest);
    const size = await this.#options.files.sizeOf(digest);
    if (size !== undefined) return size;
    throw new RegistryError('UNAVAILABLE', {
      message: `${digest} of ${repository} was not kept: the store has no room for it`,
    });
  }

  /** Resolves with what the first of the tags pointed to before. */
  async #commit(
    name: Repository,
    { pushed, bytes }: Taken,
    tags: readonly Tag[],
    sizes: ReadonlyMap<Digest, number>,
    { user, signal }: PromotedBy,
  ): Promise<Digest | undefined> {
    const { log, store, manifests, immutable, now } = this.#options;
    const { descriptor, names } = pushed;
    await store.put(descriptor.digest, bytes);
    const cause: Cause = { at: now(), user, how: 'promote' };
    const [first] = tags;
    let from: Digest | undefined;
    const decide: Parameters<typeof commitDecided>[2] = repository => {
      from = first && repository?.tag(first)?.to; // the view shows the newest state, so not after the commit
      for (const tag of tags) immutable.requireMovable(repository, tag, descriptor.digest);
      const links = names.flatMap((digest): HostedChange[] => {
        const size = sizes.get(digest);
        return size === undefined ? [] : [{ type: 'link', digest, size, ...cause }];
      });
      return [...links, toManifestChange(pushed, tags, cause)];
    };
    await commitDecided(log, name, decide, signal);
    manifests.keep(descriptor, bytes);
    return from;
  }
}

/** What the repository doesn't link yet, with the sizes that the manifests say. */
function addedTo(
  repository: HostedRepository | undefined,
  taken: readonly Taken[],
  blobs: readonly Digest[],
): ReadonlyMap<Digest, number> {
  const said = new Map<Digest, number>();
  for (const { pushed } of taken) for (const { digest, size } of pushed.named) said.set(digest, size);
  const all = new Map(blobs.map(digest => [digest, said.get(digest) ?? 0]));
  for (const { pushed } of taken) all.set(pushed.descriptor.digest, pushed.descriptor.size);
  return new Map([...all].filter(([digest]) => repository?.link(digest) === undefined));
}

/** As for a push. Errors: MANIFEST_INVALID. */
function requireSizes(taken: readonly Taken[], sizes: ReadonlyMap<Digest, number>): void {
  for (const { pushed } of taken) {
    for (const { digest, size } of pushed.named) {
      const real = sizes.get(digest) ?? size;
      if (real !== size)
        throw new RegistryError('MANIFEST_INVALID', {
          message: `${pushed.descriptor.digest} says that ${digest} has ${size} bytes, and it has ${real}`,
        });
    }
  }
}
