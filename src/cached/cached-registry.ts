/**
 * One upstream through the cache, as HTTP serves it. Every request passes here: the repository must be allowed, its record is
 * opened, and of an upstream with credentials the caller's access is checked before anything else.
 */

import type { DescriptorSizes, HeldManifest, HotManifests } from '../content/hot-manifests.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Reference, Repository, RepositoryPredicate, Tag } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Origin } from '../registry/origin.ts';
import type {
  BlobAnswer,
  ForeignAnswer,
  ForeignQuestion,
  ManifestAnswer,
  PageOptions,
  ReadOptions,
  ReferrersAnswer,
  RegistryReader,
  ResolveAnswer,
  StatAnswer,
  TagsPage,
} from '../registry/registry.ts';
import type { Records } from '../store/records/records.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import type { AccessRequest } from './access/anonymous-questions.ts';
import type { Links } from './access/links.ts';
import type { RepositoryAccess } from './access/repository-access.ts';
import type { CachedBlob } from './blobs/cached-blob.ts';
import type { TransferPolicy } from './download/resume.ts';
import type { ForeignContent } from './foreign-content.ts';
import type { CachedReferrers } from './lists/cached-referrers.ts';
import type { CachedTagList } from './lists/cached-tag-list.ts';
import type { CachedManifest } from './manifests/cached-manifest.ts';
import type { CachedTag } from './manifests/cached-tag.ts';
import { isFresh, type TagPolicy, TagTtls } from './manifests/freshness.ts';

/** The configuration of one upstream. */
export interface UpstreamPolicy extends TransferPolicy {
  /** How long a client waits for the first byte of a blob. */
  readonly firstByteMs: number;
  /** No credentials are involved: any client may pull. */
  readonly isPublic: boolean;
  /** It has credentials that aren't shared: which repositories are public is found out one by one. */
  readonly isGuarded: boolean;
  readonly finish: 'always' | 'never';
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

export interface CachedRegistryOptions {
  /** The upstream's configured key, which its records lie under. */
  readonly key: string;
  readonly isAllowed: RepositoryPredicate;
  readonly records: Records;
  /** Of an upstream with credentials. */
  readonly access: RepositoryAccess | undefined;
  readonly manifests: CachedManifest;
  readonly tags: CachedTag;
  readonly fromMemory: ManifestFromMemory;
  readonly blobs: CachedBlob;
  readonly tagList: CachedTagList;
  readonly referrers: CachedReferrers;
  readonly foreign: ForeignContent;
}

export class CachedRegistry implements RegistryReader {
  readonly #options: CachedRegistryOptions;

  constructor(options: CachedRegistryOptions) {
    this.#options = options;
  }

  resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    const { manifests, tags } = this.#options;
    return this.#serve(
      repository,
      { kind: 'manifest', reference, method: 'HEAD' },
      options,
      (record, granted) =>
        isDigest(reference)
          ? manifests.resolve(record, repository, reference, granted)
          : tags.resolve(record, repository, reference, granted),
    );
  }

  manifest(repository: Repository, reference: Reference, options: ReadOptions): Promise<ManifestAnswer> {
    const { manifests, tags } = this.#options;
    return this.#serve(
      repository,
      { kind: 'manifest', reference, method: 'GET' },
      options,
      (record, granted) =>
        isDigest(reference)
          ? manifests.manifest(record, repository, reference, granted)
          : tags.manifest(record, repository, reference, granted),
    );
  }

  manifestAtOnce(repository: Repository, reference: Reference): ManifestAnswer | undefined {
    const { access, fromMemory } = this.#options;
    return access === undefined ? fromMemory.answer(repository, reference) : undefined;
  }

  stat(repository: Repository, digest: Digest, options: ReadOptions): Promise<StatAnswer> {
    return this.#serve(repository, { kind: 'blob', digest }, options, (record, granted) =>
      this.#options.blobs.stat(record, repository, digest, granted),
    );
  }

  blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    return this.#serve(repository, { kind: 'blob', digest }, options, (record, granted) =>
      this.#options.blobs.blob(record, repository, digest, range, granted),
    );
  }

  async foreign(
    repository: Repository,
    question: ForeignQuestion,
    options: ReadOptions,
  ): Promise<ForeignAnswer> {
    const record = await this.#record(repository);
    return this.#options.foreign.answer(record, repository, question, options);
  }

  tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    return this.#serve(repository, { kind: 'tags' }, options, (record, granted) =>
      this.#options.tagList.tags(record.name, repository, granted),
    );
  }

  referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    return this.#serve(repository, { kind: 'referrers', digest }, options, (record, granted) =>
      this.#options.referrers.referrers(record.name, repository, digest, artifactType, granted),
    );
  }

  /** `work` runs when the caller may use the repository. Errors: DENIED, those of `RepositoryAccess.run`. */
  async #serve<T, O extends ReadOptions>(
    repository: Repository,
    request: AccessRequest,
    options: O,
    work: (record: RepositoryRecord, options: O) => Promise<T>,
  ): Promise<T> {
    const record = await this.#record(repository);
    const { access } = this.#options;
    if (access === undefined) return work(record, options);
    return access.run(record, repository, request, options, granted => work(record, granted));
  }

  async #record(repository: Repository): Promise<RepositoryRecord> {
    this.#requireAllowed(repository);
    return this.#options.records.open(`${this.#options.key}/${repository}`);
  }

  #requireAllowed(repository: Repository): void {
    if (this.#options.isAllowed(repository)) return;
    throw new RegistryError('DENIED', {
      message: `${this.#options.key}/${repository} is not among the repositories that this mirror may pull`,
    });
  }
}

export interface ManifestFromMemoryOptions {
  readonly records: Pick<Records, 'peek'>;
  readonly manifests: HotManifests;
  readonly links: Links;
  readonly sizes: DescriptorSizes;
  readonly tags: Pick<TagPolicy, 'ttlMs' | 'patterns'>;
  /** Milliseconds since the epoch. */
  now(): number;
}

/**
 * Manifests that go out synchronously, without asking, reading or waiting: in memory, linked, and named by digest while the
 * upstream is there, or by a tag within its ttl. `CachedManifest` and `CachedTag` give the same answers for these.
 */
export class ManifestFromMemory {
  readonly #origin: Origin;
  readonly #isAllowed: RepositoryPredicate;
  readonly #options: ManifestFromMemoryOptions;
  readonly #ttls: TagTtls;

  constructor(origin: Origin, isAllowed: RepositoryPredicate, options: ManifestFromMemoryOptions) {
    this.#origin = origin;
    this.#isAllowed = isAllowed;
    this.#options = options;
    this.#ttls = new TagTtls(options.tags);
  }

  /** Undefined means "not answerable from memory", not "not found". */
  answer(repository: Repository, reference: Reference): ManifestAnswer | undefined {
    if (!this.#isAllowed(repository)) return undefined;
    const record = this.#options.records.peek(`${this.#origin.key}/${repository}`);
    if (record === undefined) return undefined;
    return isDigest(reference) ? this.#byDigest(record, reference) : this.#byTag(record, reference);
  }

  #byDigest(record: RepositoryRecord, digest: Digest): ManifestAnswer | undefined {
    if (this.#origin.health().away) return undefined; // only a complete image may go out then
    const held = this.#held(record, digest);
    return held && { outcome: 'hit', descriptor: held.descriptor, bytes: held.bytes };
  }

  #byTag(record: RepositoryRecord, tag: Tag): ManifestAnswer | undefined {
    const entry = record.tag(tag);
    if (entry === undefined) return undefined;
    const ttlMs = this.#ttls.of(record.name, tag);
    if (!isFresh(entry.checkedAt, this.#options.now(), { ttlMs })) return undefined;
    const held = this.#held(record, entry.descriptor.digest);
    const { checkedAt } = entry;
    return held && { outcome: 'hit', descriptor: held.descriptor, bytes: held.bytes, checkedAt };
  }

  #held(record: RepositoryRecord, digest: Digest): HeldManifest | undefined {
    const { links, manifests, sizes } = this.#options;
    const mediaType = record.manifest(digest)?.mediaType;
    const held = links.mayServe(record, digest) ? manifests.peek(digest, mediaType) : undefined;
    if (held === undefined) return undefined;
    sizes.learn(record.name, held.parsed);
    manifests.touch(held);
    return held;
  }
}
