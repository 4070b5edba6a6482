/**
 * The private registry, as HTTP serves it: a `RegistryReader`, `RegistryWriter` and `RegistryDeleter` over the logs of its
 * repositories and the store. Each use case is a file of its own; rights are decided before it is called.
 */
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Reference, Repository, RepositoryPredicate, Tag } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import type {
  BlobAnswer,
  ManifestAnswer,
  PageOptions,
  ReadOptions,
  ReferrersAnswer,
  RegistryReader,
  ResolveAnswer,
  StatAnswer,
  StatOptions,
  TagsPage,
} from '../registry/registry.ts';
import type {
  Mounted,
  PutAnswer,
  PutManifest,
  RegistryDeleter,
  RegistryWriter,
  StartUpload,
  UploadSession,
  WriteOptions,
} from '../registry/writer.ts';
import type { HostedBlobs } from './hosted-blobs.ts';
import type { HostedDeletes } from './hosted-deletes.ts';
import type { HostedLists } from './hosted-lists.ts';
import type { HostedManifests } from './hosted-manifests.ts';
import type { ManifestPuts } from './put-manifest.ts';

/** Uploads and mounts: the part of the writing contract that `ManifestPuts` hasn't. */
export type Uploads = Pick<RegistryWriter, 'startUpload' | 'upload'>;

export interface HostedRegistryOptions {
  readonly isHosted: RepositoryPredicate;
  /** Errors: UNAVAILABLE while nothing may be written (`hosted.read_only`). */
  requireWritable(): void;
  readonly manifests: HostedManifests;
  readonly blobs: HostedBlobs;
  readonly lists: HostedLists;
  readonly uploads: Uploads;
  readonly puts: ManifestPuts;
  readonly deletes: HostedDeletes;
}

export class HostedRegistry implements RegistryReader, RegistryWriter, RegistryDeleter {
  readonly #options: HostedRegistryOptions;

  constructor(options: HostedRegistryOptions) {
    this.#options = options;
  }

  resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    return this.#options.manifests.resolve(repository, reference, options);
  }

  manifest(repository: Repository, reference: Reference): Promise<ManifestAnswer> {
    return this.#options.manifests.manifest(repository, reference);
  }

  manifestAtOnce(
    repository: Repository,
    reference: Reference,
    method: 'GET' | 'HEAD' = 'GET',
  ): ManifestAnswer | undefined {
    return this.#options.manifests.manifestAtOnce(repository, reference, method);
  }

  stat(repository: Repository, digest: Digest, options: StatOptions): Promise<StatAnswer> {
    return this.#options.blobs.stat(repository, digest, options);
  }

  blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    return this.#options.blobs.blob(repository, digest, range, options);
  }

  tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    return this.#options.lists.tags(repository, options);
  }

  referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    return this.#options.lists.referrers(repository, digest, artifactType, options);
  }

  requireMayWrite(repository: Repository): void {
    if (!this.#options.isHosted(repository))
      throw new RegistryError('NAME_INVALID', { message: `${repository} is not hosted here` });
    this.#options.requireWritable();
  }

  async startUpload(
    repository: Repository,
    start: StartUpload,
    options: WriteOptions,
  ): Promise<UploadSession | Mounted> {
    this.requireMayWrite(repository);
    return this.#options.uploads.startUpload(repository, start, options);
  }

  async upload(repository: Repository, id: string, options: WriteOptions): Promise<UploadSession> {
    this.requireMayWrite(repository);
    return this.#options.uploads.upload(repository, id, options);
  }

  async putManifest(
    repository: Repository,
    reference: Reference,
    manifest: PutManifest,
    options: WriteOptions,
  ): Promise<PutAnswer> {
    this.requireMayWrite(repository);
    return this.#options.puts.put(repository, reference, manifest, options);
  }

  async deleteTag(repository: Repository, tag: Tag, options: WriteOptions): Promise<void> {
    this.requireMayWrite(repository);
    return this.#options.deletes.deleteTag(repository, tag, options);
  }

  async deleteManifest(repository: Repository, digest: Digest, options: WriteOptions): Promise<void> {
    this.requireMayWrite(repository);
    return this.#options.deletes.deleteManifest(repository, digest, options);
  }

  async deleteBlob(repository: Repository, digest: Digest, options: WriteOptions): Promise<void> {
    this.requireMayWrite(repository);
    return this.#options.deletes.deleteBlob(repository, digest, options);
  }
}
