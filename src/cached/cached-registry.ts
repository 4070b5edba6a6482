/**
 * One upstream through the cache: the contract that HTTP serves. It joins the pieces of this room and adds what all of
 * them need: the repository's record and the list of repositories that may be asked for at all.
 */
import type { Digest } from '../oci/digest.ts';
import { isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import type { RepositoryPredicate } from '../registry/pattern.ts';
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
import type { Records } from '../store/records.ts';
import type { RepositoryRecord } from '../store/repository-record.ts';
import type { CachedBlob } from './cached-blob.ts';
import type { CachedManifest } from './cached-manifest.ts';
import type { CachedReferrers } from './cached-referrers.ts';
import type { CachedTag } from './cached-tag.ts';
import type { CachedTagList } from './cached-tag-list.ts';

export interface CachedRegistryOptions {
  /** The upstream's configured key; records lie under it. */
  readonly key: string;
  readonly isAllowed: RepositoryPredicate;
  readonly records: Records;
  readonly manifests: CachedManifest;
  readonly tags: CachedTag;
  readonly blobs: CachedBlob;
  readonly tagList: CachedTagList;
  readonly referrers: CachedReferrers;
}

export class CachedRegistry implements RegistryReader {
  readonly #options: CachedRegistryOptions;

  constructor(options: CachedRegistryOptions) {
    this.#options = options;
  }

  async resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    const record = await this.#record(repository);
    return isDigest(reference)
      ? this.#options.manifests.resolve(record, repository, reference, options)
      : this.#options.tags.resolve(record, repository, reference, options);
  }

  async manifest(
    repository: Repository,
    reference: Reference,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    const record = await this.#record(repository);
    return isDigest(reference)
      ? this.#options.manifests.manifest(record, repository, reference, options)
      : this.#options.tags.manifest(record, repository, reference, options);
  }

  async stat(repository: Repository, digest: Digest, options: ReadOptions): Promise<StatAnswer> {
    return this.#options.blobs.stat(await this.#record(repository), repository, digest, options);
  }

  async blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    return this.#options.blobs.blob(await this.#record(repository), repository, digest, range, options);
  }

  async tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    this.#requireAllowed(repository);
    return this.#options.tagList.tags(`${this.#options.key}/${repository}`, repository, options);
  }

  async referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    this.#requireAllowed(repository);
    const recordName = `${this.#options.key}/${repository}`;
    return this.#options.referrers.referrers(recordName, repository, digest, artifactType, options);
  }

  #record(repository: Repository): Promise<RepositoryRecord> {
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
