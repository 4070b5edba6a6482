/**
 * An upstream whose tags one node of the fleet asks for, for all of them, and whose pull limit they use up together.
 * A cold tag costs the fleet one GET: the node that asked has the manifest, the others take it from there by its digest.
 *
 * With and without credentials are two questions: what one of them was answered is told to nodes that ask the same one,
 * so a verdict about a repository is never learnt from what the credentials opened.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Digest, isDigest } from '../oci/digest.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { Origin, OriginHealth } from '../registry/origin.ts';
import { PassingOrigin } from '../registry/passing-origin.ts';
import type { PeerManifest } from '../registry/peer.ts';
import type { ManifestAnswer, ReadOptions, ResolveAnswer } from '../registry/registry.ts';
import type { SharedPullQuota } from './redis/shared-pull-quota.ts';
import type { SharedTag, SharedTags } from './redis/shared-tags.ts';

export interface TagOriginOptions {
  readonly tags: SharedTags;
  readonly budget: SharedPullQuota;
  /** From a node that holds it, verified. Undefined: none has it. Errors: the signal's reason. */
  findManifest(repository: string, digest: Digest, signal: AbortSignal): Promise<PeerManifest | undefined>;
}

/** The node that asked says so before it has stored the manifest: the others look this often for it. */
const looks = 10;
const lookAgainMs = 50;

export class TagOrigin extends PassingOrigin {
  readonly #options: TagOriginOptions;

  constructor(origin: Origin, options: TagOriginOptions) {
    super(origin);
    this.#options = options;
  }

  /** Errors: UpstreamError. */
  override async resolve(
    repository: Repository,
    reference: Reference,
    options: ReadOptions,
  ): Promise<ResolveAnswer> {
    const ask = () => this.origin.resolve(repository, reference, options);
    if (isDigest(reference)) return ask();
    const answer = await this.#options.tags.once(this.#nameOf(repository, reference, options), options, ask);
    if ('asked' in answer) return answer.asked;
    const { descriptor, checkedAt } = answer.shared;
    return { outcome: 'passthrough', descriptor, checkedAt };
  }

  /** Errors: UpstreamError. */
  override async manifest(
    repository: Repository,
    reference: Reference,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    const ask = () => this.origin.manifest(repository, reference, options);
    if (isDigest(reference)) return ask();
    const answer = await this.#options.tags.once(this.#nameOf(repository, reference, options), options, ask);
    if ('asked' in answer) return answer.asked;
    const { descriptor, checkedAt } = answer.shared;
    const found =
      (await this.#find(repository, answer.shared, options.signal)) ??
      (await this.origin.manifest(repository, descriptor.digest, options));
    return { outcome: 'passthrough', ...found, checkedAt };
  }

  override health(): OriginHealth {
    const own = this.origin.health();
    return {
      away: own.away,
      quotaLow: own.quotaLow || this.#options.budget.isLow(this.key),
      pausedUntil: kind => own.pausedUntil(kind),
    };
  }

  async #find(
    repository: Repository,
    { descriptor, isFetched }: SharedTag,
    signal: AbortSignal,
  ): Promise<PeerManifest | undefined> {
    for (let look = 1; ; look += 1) {
      const name = `${this.key}/${repository}`;
      const found = await this.#options.findManifest(name, descriptor.digest, signal);
      if (found !== undefined || !isFetched || look >= looks) return found;
      await delay(lookAgainMs, undefined, { signal });
    }
  }

  #nameOf(repository: Repository, tag: string, { anonymous }: ReadOptions): string {
    return `${this.key}/${repository}:${tag}${anonymous === true ? ' anonymous' : ''}`;
  }
}
