/**
 * An upstream as the fleet sees it: what another node has is had from there, and what is fetched is fetched for all. It
 * stands directly over the upstream, under whatever finds out what is public: so each question says already whether it
 * is asked for anybody, and a node gives for anybody only what it knows to be public. A manifest asked for anonymously
 * comes from the upstream: a verdict is learnt from it.
 */
import { type Digest, isDigest } from '../oci/digest.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { Origin } from '../registry/origin.ts';
import { PassingOrigin } from '../registry/passing-origin.ts';
import type { BlobSource, ManifestAnswer, ReadOptions } from '../registry/registry.ts';
import { FleetSource, type FleetSourceOptions } from './fleet-source.ts';
import type { PeerManifests } from './peers/peer-manifests.ts';
import { PeerReading, type PeerReadingOptions } from './peers/peer-reading.ts';

export interface FleetOriginOptions extends FleetSourceOptions, PeerReadingOptions {
  readonly manifests: PeerManifests;
}

export class FleetOrigin extends PassingOrigin {
  readonly #options: FleetOriginOptions;

  constructor(origin: Origin, options: FleetOriginOptions) {
    super(origin);
    this.#options = options;
  }

  /** Errors: UpstreamError. */
  override async manifest(
    repository: Repository,
    reference: Reference,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    const ask = () => this.origin.manifest(repository, reference, options);
    if (!isDigest(reference) || options.anonymous !== undefined) return ask();
    const name = `${this.key}/${repository}`;
    const answer = await this.#options.manifests.get(name, reference, options.signal, ask);
    return { outcome: 'passthrough', ...answer };
  }

  /** All URLs of the upstream are one source to the fleet: one lease, one memory of who gave what. */
  override blobSource(repository: Repository, digest: Digest): BlobSource {
    const name = `${this.key}/${repository}`;
    const reading = new PeerReading(this.#options, { digest, upstream: this.key, repository: name });
    const wrap = (source: BlobSource) => new FleetSource(this.#options, source, digest, reading);
    const { alternatives = [], ...own } = this.origin.blobSource(repository, digest);
    const first = wrap(own);
    return {
      upstream: first.upstream,
      repository: first.repository,
      ...(alternatives.length > 0 && { alternatives: alternatives.map(wrap) }),
      open: (offset, options) => first.open(offset, options),
    };
  }
}
