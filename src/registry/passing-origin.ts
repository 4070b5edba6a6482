/**
 * An origin over another one that passes everything on as it is: whoever wants to answer some questions differently
 * extends it and overrides those.
 */
import type { Digest } from '../oci/digest.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Origin, OriginHealth } from './origin.ts';
import type {
  BlobAnswer,
  BlobSource,
  ManifestAnswer,
  PageOptions,
  ReadOptions,
  ReferrersAnswer,
  ResolveAnswer,
  StatAnswer,
  TagsPage,
} from './registry.ts';

export class PassingOrigin implements Origin {
  readonly key: string;
  /** The one that is asked. */
  protected readonly origin: Origin;

  constructor(origin: Origin) {
    this.key = origin.key;
    this.origin = origin;
  }

  resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    return this.origin.resolve(repository, reference, options);
  }

  manifest(repository: Repository, reference: Reference, options: ReadOptions): Promise<ManifestAnswer> {
    return this.origin.manifest(repository, reference, options);
  }

  stat(repository: Repository, digest: Digest, options: ReadOptions): Promise<StatAnswer> {
    return this.origin.stat(repository, digest, options);
  }

  blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    return this.origin.blob(repository, digest, range, options);
  }

  blobSource(repository: Repository, digest: Digest): BlobSource {
    return this.origin.blobSource(repository, digest);
  }

  tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    return this.origin.tags(repository, options);
  }

  referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    return this.origin.referrers(repository, digest, artifactType, options);
  }

  health(): OriginHealth {
    return this.origin.health();
  }

  close(): Promise<void> {
    return this.origin.close();
  }
}
