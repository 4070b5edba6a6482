/**
 * An upstream as the fleet sees it: what another node has is had from there, and what is fetched is fetched for all. It
 * stands directly over the upstream, under whatever finds out what is public: so each question says already whether it
 * is asked for anybody, and a node gives for anybody only what it knows to be public. Answers from which a verdict is
 * learnt (asked anonymously, by `resolve` and `manifest`) always come from the upstream.
 */
import { type Digest, isDigest } from '../oci/digest.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Origin, OriginHealth } from '../registry/origin.ts';
import type { PeerManifest } from '../registry/peer.ts';
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
} from '../registry/registry.ts';
import { FleetSource, type FleetSourceOptions } from './fleet-source.ts';
import { PeerReading, type PeerReadingOptions } from './peer-reading.ts';

export interface FleetOriginOptions extends FleetSourceOptions, PeerReadingOptions {
  readonly origin: Origin;
  /** From a node that holds it, verified. */
  findManifest(repository: string, digest: Digest, signal: AbortSignal): Promise<PeerManifest | undefined>;
}

export class FleetOrigin implements Origin {
  readonly key: string;
  readonly #options: FleetOriginOptions;

  constructor(options: FleetOriginOptions) {
    this.key = options.origin.key;
    this.#options = options;
  }

  resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    return this.#options.origin.resolve(repository, reference, options);
  }

  /** Errors: UpstreamError. */
  async manifest(
    repository: Repository,
    reference: Reference,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    const { origin, findManifest } = this.#options;
    if (isDigest(reference) && options.anonymous === undefined) {
      const found = await findManifest(`${this.key}/${repository}`, reference, options.signal);
      if (found !== undefined) return { outcome: 'passthrough', ...found };
    }
    return origin.manifest(repository, reference, options);
  }

  stat(repository: Repository, digest: Digest, options: ReadOptions): Promise<StatAnswer> {
    return this.#options.origin.stat(repository, digest, options);
  }

  blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    return this.#options.origin.blob(repository, digest, range, options);
  }

  /** All URLs of the upstream are one source to the fleet: one lease, one memory of who gave what. */
  blobSource(repository: Repository, digest: Digest): BlobSource {
    const name = `${this.key}/${repository}`;
    const reading = new PeerReading(this.#options, { digest, upstream: this.key, repository: name });
    const wrap = (source: BlobSource) => new FleetSource(this.#options, source, digest, reading);
    const { alternatives = [], ...own } = this.#options.origin.blobSource(repository, digest);
    const first = wrap(own);
    return {
      upstream: first.upstream,
      repository: first.repository,
      ...(alternatives.length > 0 && { alternatives: alternatives.map(wrap) }),
      open: (offset, options) => first.open(offset, options),
    };
  }

  tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    return this.#options.origin.tags(repository, options);
  }

  referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    return this.#options.origin.referrers(repository, digest, artifactType, options);
  }

  /** The upstream's own: each node has its breaker. */
  health(): OriginHealth {
    return this.#options.origin.health();
  }

  close(): Promise<void> {
    return this.#options.origin.close();
  }
}
