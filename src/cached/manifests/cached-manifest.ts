/**
 * Manifests by digest: held ones go out without asking the upstream, others are fetched once, verified and kept. The link rule
 * holds for them as for blobs; while the upstream is away, only a complete image goes out.
 */
import type { DescriptorSizes, HeldManifest, HotManifests } from '../../content/hot-manifests.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import { octetStream } from '../../oci/media-type.ts';
import type { Reference, Repository } from '../../oci/name.ts';
import type { Origin } from '../../registry/origin.ts';
import type { ManifestAnswer, ReadOptions, ResolveAnswer } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import { findMissing } from '../../store/records/image-tree.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { Outcome } from '../../telemetry/observer.ts';
import type { Links } from '../access/links.ts';

export interface CachedManifestOptions {
  readonly manifests: HotManifests;
  readonly links: Links;
  readonly sizes: DescriptorSizes;
  /** Any client may pull from this repository: its links are public. */
  isPublic(record: RepositoryRecord): boolean;
  /** A blob is held, and its bytes are verified or were when they came. */
  isHeld(digest: Digest): Promise<boolean>;
  /** Ends requests that outlive their clients. */
  readonly signal: AbortSignal;
}

interface Fetched {
  readonly held: HeldManifest;
  /** When the upstream said so, which may be a while ago when it has several URLs. Undefined: just now. */
  readonly checkedAt: number | undefined;
}

export interface FetchedManifest extends Fetched {
  readonly outcome: Outcome;
}

export class CachedManifest {
  readonly #origin: Origin;
  readonly #options: CachedManifestOptions;
  readonly #fetches = new SingleFlight<Fetched>();
  readonly #resolves = new SingleFlight<Descriptor>();

  constructor(origin: Origin, options: CachedManifestOptions) {
    this.#origin = origin;
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
    if (held !== undefined) return this.#answerHeld(record, held);
    const { held: fetched, outcome } = await this.fetch(record, repository, digest, options.signal);
    return this.#answer(fetched, outcome);
  }

  /** HEAD by digest; costs one HEAD when it isn't held. Errors: UpstreamError. */
  async resolve(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    options: ReadOptions,
  ): Promise<ResolveAnswer> {
    const held = await this.held(record, digest);
    if (held !== undefined) return this.#answerHeld(record, held);
    const { value, joined } = await this.#resolveOnce(record, repository, digest, options.signal);
    return { outcome: joined ? 'joined' : 'miss', descriptor: value };
  }

  /** What is held and linked to this repository. Doesn't ask the upstream. */
  async held(record: RepositoryRecord, digest: Digest): Promise<HeldManifest | undefined> {
    const { links, manifests } = this.#options;
    if (!links.mayServe(record, digest)) return undefined;
    const known = record.manifest(digest);
    const held = manifests.peek(digest) ?? (await manifests.get(digest, known?.mediaType ?? octetStream));
    if (held !== undefined) this.#options.sizes.learn(record.name, held.parsed);
    return held;
  }

  /**
   * One GET for all callers at once. Held bytes that aren't linked to this repository yet cost a HEAD instead.
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

  /**
   * Whether the image can be pulled whole from what is held and linked. Asked while the upstream is away: podman stays with
   * the source of the manifest, so a manifest without its layers is worse than none.
   */
  async isComplete(record: RepositoryRecord, held: HeldManifest): Promise<boolean> {
    const { manifests, isHeld } = this.#options;
    const missing = await findMissing(held.parsed, {
      manifest: async child => {
        const known = record.manifest(child);
        return known && (await manifests.get(child, known.mediaType))?.parsed;
      },
      hasBlob: async digest => (await this.#mayServe(record, digest)) && isHeld(digest),
    });
    return missing === undefined;
  }

  /** Errors: UpstreamError when the image isn't complete, for while the upstream is away. */
  async requireComplete(record: RepositoryRecord, held: HeldManifest): Promise<void> {
    if (await this.isComplete(record, held)) return;
    throw new UpstreamError({
      upstream: this.#origin.key,
      kind: 'manifest',
      failure: 'unreachable',
      message: `${held.descriptor.digest} is held without all of its blobs, and the upstream is away`,
    });
  }

  async #fetch(record: RepositoryRecord, repository: Repository, reference: Reference): Promise<Fetched> {
    const origin = this.#origin;
    const { manifests, signal } = this.#options;
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
      const { descriptor } = await this.#origin.resolve(repository, digest, {
        signal: this.#options.signal,
      });
      this.#options.links.link(record, digest, this.#options.isPublic(record));
      return descriptor;
    });
  }

  async #answerHeld(record: RepositoryRecord, held: HeldManifest): Promise<ManifestAnswer> {
    if (this.#origin.health().away) await this.requireComplete(record, held);
    return this.#answer(held, 'hit');
  }

  async #mayServe(record: RepositoryRecord, digest: Digest): Promise<boolean> {
    const { links } = this.#options;
    if (links.mayServe(record, digest)) return true;
    await links.loaded;
    return links.mayServe(record, digest);
  }

  #answer(held: HeldManifest, outcome: Outcome): ManifestAnswer {
    this.#options.manifests.touch(held);
    return { outcome, descriptor: held.descriptor, bytes: held.bytes };
  }
}
