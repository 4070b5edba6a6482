/**
 * Manifests of hosted repositories, by tag and digest. What the log names is in memory, and so are the bytes of those that
 * were asked for lately: such an answer takes no I/O. Pulls are noted, each manifest at most once an hour. A HEAD is no pull; by a pusher
 * it keeps a manifest without a tag from a collection until the index comes that names it.
 */
import type { HeldManifest, HotManifests } from '../content/hot-manifests.ts';
import { isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ManifestAnswer, ReadOptions, ResolveAnswer } from '../registry/registry.ts';
import type { HostedLink, HostedLog, HostedManifest, HostedRepository } from './log/hosted-log.ts';
import type { PullTimes } from './pull-times.ts';

export interface HostedManifestsOptions {
  readonly log: HostedLog;
  readonly manifests: HotManifests;
  readonly pullTimes: Pick<PullTimes, 'pulled'>;
  /** For a pusher: the link is in use again. Absent: links stay as old as they are. */
  renew?(repository: Repository, link: HostedLink, options: Pick<ReadOptions, 'caller'>): Promise<void>;
}

export class HostedManifests {
  readonly #options: HostedManifestsOptions;

  constructor(options: HostedManifestsOptions) {
    this.#options = options;
  }

  /** Errors: MANIFEST_UNKNOWN, also for one whose file is bad or gone, so that its client pushes it again; UNAVAILABLE. */
  async manifest(name: Repository, reference: Reference): Promise<ManifestAnswer> {
    const { repository, known, held } = await this.#held(name, reference);
    this.#pulled(repository, known);
    return this.#answer(known, held);
  }

  /** HEAD. Errors: those of `manifest`. */
  async resolve(
    name: Repository,
    reference: Reference,
    options: Pick<ReadOptions, 'caller'>,
  ): Promise<ResolveAnswer> {
    const { repository, known, held } = await this.#held(name, reference);
    const link = loneLink(repository, known);
    if (link !== undefined) {
      await this.#options.renew?.(name, link, options);
      const { digest } = known.descriptor; // a collection may have been faster
      if (this.#options.log.peek(name)?.manifest(digest) === undefined)
        throw unknownManifest(name, reference);
    }
    const { outcome, descriptor } = this.#answer(known, held);
    return { outcome, descriptor };
  }

  /** Undefined: not answerable from memory. */
  manifestAtOnce(name: Repository, reference: Reference, method: 'GET' | 'HEAD'): ManifestAnswer | undefined {
    const repository = this.#options.log.peek(name);
    if (repository === undefined) return undefined;
    const known = find(repository, reference);
    if (known === undefined) return undefined;
    const held = this.#options.manifests.peek(known.descriptor.digest, known.descriptor.mediaType);
    if (held === undefined) return undefined;
    if (method === 'GET') this.#pulled(repository, known);
    else if (loneLink(repository, known) !== undefined) return undefined; // `resolve` may have to renew it
    return this.#answer(known, held);
  }

  async #held(name: Repository, reference: Reference) {
    const repository = await this.#options.log.readRepository(name);
    if (repository === undefined) throw unknownManifest(name, reference);
    const known = find(repository, reference);
    if (known === undefined) throw unknownManifest(name, reference);
    const { digest, mediaType } = known.descriptor;
    const held = await this.#options.manifests.get(digest, mediaType);
    if (held === undefined) throw unknownManifest(name, reference);
    return { repository, known, held };
  }

  #pulled({ name }: HostedRepository, { descriptor, pulledAt }: HostedManifest): void {
    this.#options.pullTimes.pulled(name, descriptor.digest, pulledAt);
  }

  #answer({ descriptor }: HostedManifest, held: HeldManifest): ManifestAnswer {
    this.#options.manifests.touch(held);
    return { outcome: 'hit', descriptor, bytes: held.bytes };
  }
}

/** Of a manifest without a tag, which the next index of a push may name. Undefined: it has a tag. */
function loneLink(repository: HostedRepository, { descriptor }: HostedManifest): HostedLink | undefined {
  return repository.tagsOf(descriptor.digest).length > 0 ? undefined : repository.link(descriptor.digest);
}

function find(repository: HostedRepository, reference: Reference): HostedManifest | undefined {
  const digest = isDigest(reference) ? reference : repository.tag(reference)?.to;
  return digest && repository.manifest(digest);
}

function unknownManifest(name: Repository, reference: Reference): RegistryError {
  const at = isDigest(reference) ? '@' : ':';
  return new RegistryError('MANIFEST_UNKNOWN', { message: `there is no ${name}${at}${reference} here` });
}
