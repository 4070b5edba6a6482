/**
 * An upstream as the fleet sees it: content that another node has comes from there, one node of the fleet asks for a tag, and the pull quota is
 * shared. It wraps the upstream directly, below the check of visibility, so `anonymous` is already decided: then a node gives only what it
 * knows to be public.
 *
 * A tag with credentials and the same tag without are shared separately, and a digest that is asked for anonymously comes from the upstream:
 * what the credentials open never makes a repository look public.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Digest, isDigest } from '../oci/digest.ts';
import type { Reference, Repository, Tag } from '../oci/name.ts';
import { type Origin, type OriginHealth, wrapSource } from '../registry/origin.ts';
import type { PeerManifest } from '../registry/peer.ts';
import type { BlobSource, ManifestAnswer, ReadOptions, ResolveAnswer } from '../registry/registry.ts';
import { FleetSource } from './fleet-source.ts';
import type { PeerManifests } from './peers/peer-manifests.ts';
import { PeerReading, type TransferContext } from './peers/peer-reading.ts';
import type { SharedPullQuota } from './redis/shared-pull-quota.ts';
import type { SharedTag, SharedTags } from './redis/shared-tags.ts';

export interface FleetOriginOptions {
  readonly transfers: TransferContext;
  readonly manifests: PeerManifests;
  readonly tags: SharedTags;
  readonly pullQuota: SharedPullQuota;
}

/** The node that asked for a tag shares it before it has stored the manifest: the others look for it this often. */
const maxLooks = 10;
const lookAgainMs = 50;

/** For `mapOrigin`: the methods that a fleet answers differently. */
export class FleetOrigin implements Pick<Origin, 'resolve' | 'manifest' | 'blobSource' | 'health'> {
  readonly #origin: Origin;
  readonly #options: FleetOriginOptions;

  constructor(origin: Origin, options: FleetOriginOptions) {
    this.#origin = origin;
    this.#options = options;
  }

  /** Errors: UpstreamError. */
  async resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    const ask = () => this.#origin.resolve(repository, reference, options);
    if (isDigest(reference)) return ask();
    const answer = await this.#once(repository, reference, options, ask);
    if ('asked' in answer) return answer.asked;
    const { descriptor, checkedAt } = answer.shared;
    return { outcome: 'passthrough', descriptor, checkedAt };
  }

  /** Errors: UpstreamError. */
  async manifest(
    repository: Repository,
    reference: Reference,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    if (isDigest(reference)) return this.#byDigest(repository, reference, options);
    const ask = () => this.#origin.manifest(repository, reference, options);
    const answer = await this.#once(repository, reference, options, ask);
    if ('asked' in answer) return answer.asked;
    const { descriptor, checkedAt } = answer.shared;
    const found =
      (await this.#find(repository, answer.shared, options.signal)) ??
      (await this.#byDigest(repository, descriptor.digest, options));
    return { outcome: 'passthrough', ...found, checkedAt };
  }

  /** All URLs of the upstream are one source to the fleet: one lease, one record of which node gave what. */
  blobSource(repository: Repository, digest: Digest): BlobSource {
    const { transfers } = this.#options;
    const { key } = this.#origin;
    const blob = { digest, upstream: key, repository: `${key}/${repository}` };
    const reading = new PeerReading(transfers, blob);
    return wrapSource(this.#origin.blobSource(repository, digest), source => {
      const shared = new FleetSource(transfers, source, digest, reading);
      return {
        parallel: false, // a lease is for one transfer, and followers read what comes in order
        open: (offset, options) => shared.open(offset, options),
      };
    });
  }

  health(): OriginHealth {
    const own = this.#origin.health();
    return {
      away: own.away,
      quotaLow: own.quotaLow || this.#options.pullQuota.isLow(this.#origin.key),
      quota: this.#options.pullQuota.reading(this.#origin.key) ?? own.quota,
      pausedUntil: kind => own.pausedUntil(kind),
    };
  }

  async #byDigest(repository: Repository, digest: Digest, options: ReadOptions): Promise<ManifestAnswer> {
    const ask = () => this.#origin.manifest(repository, digest, options);
    if (options.anonymous !== undefined) return ask();
    const name = `${this.#origin.key}/${repository}`;
    const answer = await this.#options.manifests.get(name, digest, options.signal, ask);
    return { outcome: 'passthrough', ...answer };
  }

  #once<T extends ResolveAnswer>(
    repository: Repository,
    tag: Tag,
    options: ReadOptions,
    ask: () => Promise<T>,
  ) {
    const suffix = options.anonymous === true ? ' anonymous' : '';
    return this.#options.tags.once(`${this.#origin.key}/${repository}:${tag}${suffix}`, options, ask);
  }

  async #find(
    repository: Repository,
    { descriptor, isFetched }: SharedTag,
    signal: AbortSignal,
  ): Promise<PeerManifest | undefined> {
    const name = `${this.#origin.key}/${repository}`;
    for (let look = 1; ; look += 1) {
      const found = await this.#options.manifests.find(name, descriptor.digest, signal);
      if (found !== undefined || !isFetched || look >= maxLooks) return found;
      await delay(lookAgainMs, undefined, { signal });
    }
  }
}
