/**
 * Manifests by digest: held ones go out without a question, others are fetched once, verified by the upstream room and
 * kept. The link rule holds for them as for blobs; while the upstream is away an image goes out only when it is complete.
 */

import type { HeldManifest, HotManifests } from '../../content/hot-manifests.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import { octetStream } from '../../oci/media-type.ts';
import type { Reference, Repository } from '../../oci/name.ts';
import type { Origin } from '../../registry/origin.ts';
import type { ManifestAnswer, ReadOptions, ResolveAnswer } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { Outcome } from '../../telemetry/observer.ts';
import type { Links } from '../access/links.ts';
import type { DescriptorSizes } from './descriptor-sizes.ts';
import type { ImageCompleteness } from './image-completeness.ts';

export interface CachedManifestOptions {
  readonly origin: Origin;
  readonly manifests: HotManifests;
  readonly links: Links;
  readonly sizes: DescriptorSizes;
  readonly availability: ImageCompleteness;
  /** Anybody may pull from this repository: its links are public. */
  isPublic(record: RepositoryRecord): boolean;
  readonly signal: AbortSignal;
}

interface Fetched {
  readonly held: HeldManifest;
  /** When the upstream said so; with several mirrors that may have been a while ago. Undefined: just now. */
  readonly checkedAt: number | undefined;
}

export interface FetchedManifest extends Fetched {
  readonly outcome: Outcome;
}

export class CachedManifest {
  readonly #options: CachedManifestOptions;
  readonly #fetches = new SingleFlight<Fetched>();
  readonly #resolves = new SingleFlight<Descriptor>();

  constructor(options: CachedManifestOptions) {
    this.#options = options;
  }

  /** GET by digest. Errors: UpstreamError. */
  async manifest(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    const held = await this.held(record, digest);
    if (held !== undefined && (await this.#mayGoOut(record, held))) return this.#answer(held, 'hit');
    const { held: fetched, outcome } = await this.fetch(record, repository, digest, options.signal);
    return this.#answer(fetched, outcome);
  }

  /** HEAD by digest; what isn't held is asked for, not fetched. Errors: UpstreamError. */
  async resolve(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    options: ReadOptions,
  ): Promise<ResolveAnswer> {
    const held = await this.held(record, digest);
    if (held !== undefined && (await this.#mayGoOut(record, held))) return this.#answer(held, 'hit');
    const { value, joined } = await this.#resolveOnce(record, repository, digest, options.signal);
    return { outcome: joined ? 'joined' : 'miss', descriptor: value };
  }

  /** What is held and may be given out for this repository, whatever its upstream says. */
  async held(record: RepositoryRecord, digest: Digest): Promise<HeldManifest | undefined> {
    const { links, manifests } = this.#options;
    if (!links.mayServe(record, digest)) return undefined;
    const known = record.manifest(digest);
    const held = manifests.peek(digest) ?? (await manifests.get(digest, known?.mediaType ?? octetStream));
    if (held !== undefined) this.#options.sizes.learn(record.name, held.parsed);
    return held;
  }

  /**
   * One GET, however many ask. Held bytes that aren't linked here yet cost a HEAD instead.
   * Errors: UpstreamError.
   */
  async fetch(
    record: RepositoryRecord,
    repository: Repository,
    reference: Reference,
    signal: AbortSignal,
  ): Promise<FetchedManifest> {
    const key = `${record.name}@${reference}`;
    const { value, joined } = await this.#fetches.run(key, signal, () =>
      this.#fetch(record, repository, reference),
    );
    return { ...value, outcome: joined ? 'joined' : 'miss' };
  }

  async #fetch(record: RepositoryRecord, repository: Repository, reference: Reference): Promise<Fetched> {
    const { origin, manifests, signal } = this.#options;
    if (isDigest(reference)) {
      const hot = manifests.peek(reference);
      if (hot !== undefined && this.#options.links.mayServe(record, hot.descriptor.digest))
        return { held: hot, checkedAt: undefined };
      if (hot !== undefined) {
        await origin.resolve(repository, reference, { signal });
        return { held: this.#keep(record, hot), checkedAt: undefined };
      }
    }
    const { descriptor, bytes, checkedAt } = await origin.manifest(repository, reference, { signal });
    return { held: this.#keep(record, await manifests.put(descriptor, bytes)), checkedAt };
  }

  #keep(record: RepositoryRecord, held: HeldManifest): HeldManifest {
    record.setManifest(held.descriptor);
    this.#options.links.link(record, held.descriptor.digest, this.#options.isPublic(record));
    this.#options.sizes.learn(record.name, held.parsed);
    return held;
  }

  #resolveOnce(record: RepositoryRecord, repository: Repository, digest: Digest, signal: AbortSignal) {
    return this.#resolves.run(`${record.name}@${digest}`, signal, async () => {
      const { descriptor } = await this.#options.origin.resolve(repository, digest, {
        signal: this.#options.signal,
      });
      this.#options.links.link(record, digest, this.#options.isPublic(record));
      return descriptor;
    });
  }

  async #mayGoOut(record: RepositoryRecord, held: HeldManifest): Promise<boolean> {
    if (!this.#options.origin.health().away) return true;
    if (await this.#options.availability.isComplete(record, held)) return true;
    throw incomplete(this.#options.origin.key, held.descriptor.digest);
  }

  #answer(held: HeldManifest, outcome: Outcome): ManifestAnswer {
    this.#options.manifests.touch(held);
    return { outcome, descriptor: held.descriptor, bytes: held.bytes };
  }
}

/** Held, yet not whole, and the rest can't be had now. */
export function incomplete(upstream: string, digest: Digest): UpstreamError {
  return new UpstreamError({
    upstream,
    kind: 'manifest',
    failure: 'unreachable',
    message: `${digest} is held without all of its blobs, and the upstream is away`,
  });
}
