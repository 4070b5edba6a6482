/**
 * One upstream through the cache: the contract that HTTP serves. It joins the pieces of this room and adds what all of
 * them need: the repository's record and the list of repositories that may be asked for at all.
 */
import type { Digest } from '../oci/digest.ts';
import { isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import type { RepositoryPredicate } from '../registry/caller.ts';
import type {
  BlobAnswer,
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
import type { RepositoryAccess, Wanted } from './access/repository-access.ts';
import type { CachedBlob } from './blobs/cached-blob.ts';
import type { CachedReferrers } from './lists/cached-referrers.ts';
import type { CachedTagList } from './lists/cached-tag-list.ts';
import type { CachedManifest } from './manifests/cached-manifest.ts';
import type { CachedTag } from './manifests/cached-tag.ts';
import type { ManifestFromMemory } from './manifests/manifest-from-memory.ts';

export interface CachedRegistryOptions {
  /** The upstream's configured key; records lie under it. */
  readonly key: string;
  readonly isAllowed: RepositoryPredicate;
  readonly records: Records;
  /** Of an upstream whose credentials aren't for everybody. */
  readonly admission: RepositoryAccess | undefined;
  readonly manifests: CachedManifest;
  readonly tags: CachedTag;
  readonly atOnce: ManifestFromMemory;
  readonly blobs: CachedBlob;
  readonly tagList: CachedTagList;
  readonly referrers: CachedReferrers;
}

export class CachedRegistry implements RegistryReader {
  readonly #options: CachedRegistryOptions;

  constructor(options: CachedRegistryOptions) {
    this.#options = options;
  }

  resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    const { manifests, tags } = this.#options;
    return this.#serve(repository, { kind: 'manifest', reference }, options, (record, admitted) =>
      isDigest(reference)
        ? manifests.resolve(record, repository, reference, admitted)
        : tags.resolve(record, repository, reference, admitted),
    );
  }

  manifest(repository: Repository, reference: Reference, options: ReadOptions): Promise<ManifestAnswer> {
    const { manifests, tags } = this.#options;
    return this.#serve(repository, { kind: 'manifest', reference }, options, (record, admitted) =>
      isDigest(reference)
        ? manifests.manifest(record, repository, reference, admitted)
        : tags.manifest(record, repository, reference, admitted),
    );
  }

  manifestAtOnce(repository: Repository, reference: Reference): ManifestAnswer | undefined {
    const { admission, atOnce } = this.#options;
    return admission === undefined ? atOnce.answer(repository, reference) : undefined;
  }

  stat(repository: Repository, digest: Digest, options: ReadOptions): Promise<StatAnswer> {
    return this.#serve(repository, { kind: 'blob', digest }, options, (record, admitted) =>
      this.#options.blobs.stat(record, repository, digest, admitted),
    );
  }

  blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    return this.#serve(repository, { kind: 'blob', digest }, options, (record, admitted) =>
      this.#options.blobs.blob(record, repository, digest, range, admitted),
    );
  }

  tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    return this.#serve(repository, { kind: 'tags' }, options, (record, admitted) =>
      this.#options.tagList.tags(record.name, repository, admitted),
    );
  }

  referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    return this.#serve(repository, { kind: 'referrers', digest }, options, (record, admitted) =>
      this.#options.referrers.referrers(record.name, repository, digest, artifactType, admitted),
    );
  }

  /** The one way to anything of a repository: nothing is looked at before it is known who may. */
  async #serve<T, O extends ReadOptions>(
    repository: Repository,
    wanted: Wanted,
    options: O,
    work: (record: RepositoryRecord, options: O) => Promise<T>,
  ): Promise<T> {
    const record = await this.#record(repository);
    const { admission } = this.#options;
    if (admission === undefined) return work(record, options);
    return admission.run(record, repository, wanted, options, admitted => work(record, admitted));
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
