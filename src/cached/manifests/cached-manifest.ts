/**
 * Manifests by digest: held ones go out without asking the upstream, others are fetched once, verified and kept. The link rule
 * holds for them as for blobs; while the upstream is away, only a complete image goes out.
 */
import type { DescriptorSizes, HeldManifest, HotManifests } from '../../content/hot-manifests.ts';
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import type { Reference, Repository } from '../../oci/name.ts';
import { type Origin, traceOf } from '../../registry/origin.ts';
import type { ManifestAnswer, ReadOptions, ResolveAnswer } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import { findMissing } from '../../store/records/image-tree.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { Outcome } from '../../telemetry/observer.ts';
import type { Links } from '../access/links.ts';
import type { TagPolicy } from './freshness.ts';

export interface CachedManifestOptions {
  readonly manifests: HotManifests;
  readonly links: Links;
  readonly sizes: DescriptorSizes;
  readonly offline: boolean;
  /** Some of what is held is private: a question must not tell that it is held. */
  readonly isGuarded: boolean;
  /** Any client may pull from this repository: its links are public. */
  isPublic(record: RepositoryRecord): boolean;
  /** A blob is held, and its bytes are verified or were when they came. */
  isHeld(digest: Digest): Promise<boolean>;
  /** Ends requests that outlive their clients. */
  readonly signal: AbortSignal;
  readonly tags: Pick<TagPolicy, 'negativeTtlMs'>;
  /** Milliseconds since the epoch. */
  now(): number;
}

const maxMissing = 10_000;

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
  /** Whether images are complete: many clients at once cost one look at the disk per blob. */
  readonly #checks = new SingleFlight<boolean>();
  /** Digests that the upstream lacked, by repository. */
  readonly #missing: ExpiringMap<string, true>;

  constructor(origin: Origin, options: CachedManifestOptions) {
    this.#origin = origin;
    this.#options = options;
    const { tags, now } = options;
    this.#missing = new ExpiringMap({ maxEntries: maxMissing, ttlMs: tags.negativeTtlMs, now });
  }

  /** GET by digest. Errors: UpstreamError. */
  async manifest(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    const held = await this.held(record, digest);
    if (held !== undefined) {
      if (this.#origin.health().away) await this.requireComplete(record, held);
      return this.#answer(held, 'hit');
    }
    const { held: fetched, outcome } = await this.#unlessMissing(record, digest, () =>
      this.#fetchOrByTag(record, repository, digest, options),
    );
    return this.#answer(fetched, outcome);
  }

  /**
   * HEAD by digest; costs one HEAD when it isn't held. No pull follows from it, so while the upstream is away an image that
   * isn't held whole is answered too, as stale. Errors: UpstreamError.
   */
  async resolve(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    options: ReadOptions,
  ): Promise<ResolveAnswer> {
    const held = await this.held(record, digest);
    if (held !== undefined) {
      const { away } = this.#origin.health();
      const isWhole = !away || (await this.isComplete(record, held));
      const answer = this.#answer(held, isWhole ? 'hit' : 'stale');
      return isWhole ? answer : { ...answer, stale: this.#options.offline ? 'offline' : 'unreachable' };
    }
    const { value, joined } = await this.#unlessMissing(record, digest, () =>
      this.#resolveOnce(record, repository, digest, options),
    );
    return { outcome: joined ? 'joined' : 'miss', descriptor: value };
  }

  /** `ask`, unless the upstream lacked that digest within `negative_ttl`. */
  async #unlessMissing<T>(record: RepositoryRecord, digest: Digest, ask: () => Promise<T>): Promise<T> {
    const key = `${record.name}@${digest}`;
    const missing = this.#missing.getExpired(key);
    if (missing?.isFresh) throw missingError(digest, missing.setAtMs);
    try {
      const found = await ask();
      this.#missing.delete(key);
      return found;
    } catch (error) {
      if (isGone(error)) this.#missing.set(key, true);
      throw error;
    }
  }

  /** What is held and linked to this repository. Doesn't ask the upstream. */
  async held(record: RepositoryRecord, digest: Digest): Promise<HeldManifest | undefined> {
    const { links, manifests } = this.#options;
    if (!links.mayServe(record, digest)) return undefined;
    const mediaType = record.manifest(digest)?.mediaType;
    const held = manifests.peek(digest, mediaType) ?? (await manifests.get(digest, mediaType));
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
    options: Pick<ReadOptions, 'signal' | 'requestId'>,
  ): Promise<FetchedManifest> {
    const key = `${record.name}@${reference}`;
    const { value, joined } = await this.#fetches.run(key, options.signal, () =>
      this.#fetch(record, repository, reference, traceOf(options)),
    );
    return { ...value, outcome: joined ? 'joined' : 'miss' };
  }

  /**
   * Whether the image can be pulled whole from what is held and linked. Asked while the upstream is away: podman stays with
   * the source of the manifest, so a manifest without its layers is worse than none.
   */
  async isComplete(record: RepositoryRecord, held: HeldManifest): Promise<boolean> {
    const key = `${record.name}@${held.descriptor.digest}`;
    const { value } = await this.#checks.run(key, this.#options.signal, () => this.#isComplete(record, held));
    return value;
  }

  async #isComplete(record: RepositoryRecord, held: HeldManifest): Promise<boolean> {
    const { manifests, isHeld } = this.#options;
    const missing = await findMissing(held.parsed, {
      manifest: async child => {
        const known = record.manifest(child);
        return known && (await manifests.get(child, known.mediaType))?.parsed;
      },
      hasBlob: async digest => (await this.#mayServe(record, digest)) && isHeld(digest),
      wasAsked: digest => record.isLinked(digest),
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

  async #fetch(
    record: RepositoryRecord,
    repository: Repository,
    reference: Reference,
    trace: Pick<ReadOptions, 'requestId'>,
  ): Promise<Fetched> {
    const origin = this.#origin;
    const { manifests, signal } = this.#options;
    const asked = { signal, ...trace };
    const mayShow = !this.#options.isGuarded && isDigest(reference);
    const bytes = mayShow ? manifests.peekBytes(reference) : undefined;
    if (isDigest(reference) && bytes !== undefined) {
      const held = await this.held(record, reference);
      if (held !== undefined) return { held, checkedAt: undefined };
      const { descriptor } = await origin.resolve(repository, reference, asked);
      return { held: await this.keep(record, descriptor, bytes), checkedAt: undefined };
    }
    const { descriptor, bytes: fetched, checkedAt } = await origin.manifest(repository, reference, asked);
    return { held: await this.keep(record, descriptor, fetched), checkedAt };
  }

  /**
   * Some registries give a manifest by tag only. One that a tag points to is asked for by that tag once more, and goes out
   * when it has the digest that was asked for.
   */
  async #fetchOrByTag(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    options: Pick<ReadOptions, 'signal' | 'requestId'>,
  ): Promise<FetchedManifest> {
    try {
      return await this.fetch(record, repository, digest, options);
    } catch (error) {
      if (!isRefusedByDigest(error)) throw error;
      const [tag] = [...record.tags()].find(([, entry]) => entry.descriptor.digest === digest) ?? [];
      if (tag === undefined) throw error;
      const fetched = await this.fetch(record, repository, tag, options);
      if (fetched.held.descriptor.digest === digest) return fetched;
      throw error;
    }
  }

  /** Verified bytes that the upstream gave for this repository, under the type that it gave there. */
  async keep(record: RepositoryRecord, descriptor: Descriptor, bytes: Buffer): Promise<HeldManifest> {
    const held = await this.#options.manifests.put(descriptor, bytes);
    record.setManifest(held.descriptor);
    this.#options.links.link(record, held.descriptor.digest, this.#options.isPublic(record));
    this.#options.sizes.learn(record.name, held.parsed);
    return held;
  }

  #resolveOnce(record: RepositoryRecord, repository: Repository, digest: Digest, options: ReadOptions) {
    return this.#resolves.run(`${record.name}@${digest}`, options.signal, async () => {
      const { descriptor, bytes } = await this.#origin.resolve(repository, digest, {
        signal: this.#options.signal,
        ...traceOf(options),
      });
      if (bytes !== undefined) await this.keep(record, descriptor, bytes);
      this.#options.links.link(record, digest, this.#options.isPublic(record));
      return descriptor;
    });
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

/** The upstream doesn't give it by that digest, whatever a tag would give. */
export function isRefusedByDigest(error: unknown): boolean {
  if (!(error instanceof UpstreamError)) return false;
  const { failure, upstreamStatus = 0 } = error;
  return failure === 'gone' || failure === 'denied' || (failure === 'status' && upstreamStatus < 500);
}

export function isGone(error: unknown): boolean {
  return (
    error instanceof RegistryError && error.code === 'MANIFEST_UNKNOWN' && error.detail?.['reason'] === 'gone'
  );
}

export function missingError(reference: Reference, atMs: number): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', {
    message: `the upstream had no ${isDigest(reference) ? 'manifest' : 'tag'} ${reference} when it was last asked`,
    detail: { reason: 'gone', checkedAt: new Date(atMs).toISOString() },
  });
}
