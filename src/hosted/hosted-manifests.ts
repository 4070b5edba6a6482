/**
 * Manifests of hosted repositories, by tag and digest. What the log names is in memory, and so are the bytes of those that
 * were asked for lately: such an answer takes no I/O. Pulls are noted, each manifest at most once an hour.
 */
import type { HeldManifest, HotManifests } from '../content/hot-manifests.ts';
import { isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ManifestAnswer } from '../registry/registry.ts';
import type { HostedLog, HostedManifest, HostedRepository } from './log/hosted-log.ts';
import type { PullTimes } from './pull-times.ts';

export interface HostedManifestsOptions {
  readonly log: HostedLog;
  readonly manifests: HotManifests;
  readonly pullTimes: Pick<PullTimes, 'pulled'>;
}

export class HostedManifests {
  readonly #options: HostedManifestsOptions;

  constructor(options: HostedManifestsOptions) {
    this.#options = options;
  }

  /** Errors: MANIFEST_UNKNOWN, also for one whose file is bad or gone, so that its client pushes it again; UNAVAILABLE. */
  async manifest(name: Repository, reference: Reference): Promise<ManifestAnswer> {
    const repository = await this.#options.log.readRepository(name);
    if (repository === undefined) throw unknownManifest(name, reference);
    const known = find(repository, reference);
    if (known === undefined) throw unknownManifest(name, reference);
    const { digest, mediaType } = known.descriptor;
    const held = await this.#options.manifests.get(digest, mediaType);
    if (held === undefined) throw unknownManifest(name, reference);
    return this.#answer(repository, known, held);
  }

  /** Undefined: not answerable from memory. */
  manifestAtOnce(name: Repository, reference: Reference): ManifestAnswer | undefined {
    const repository = this.#options.log.peek(name);
    if (repository === undefined) return undefined;
    const known = find(repository, reference);
    if (known === undefined) return undefined;
    const held = this.#options.manifests.peek(known.descriptor.digest, known.descriptor.mediaType);
    return held && this.#answer(repository, known, held);
  }

  #answer(repository: HostedRepository, known: HostedManifest, held: HeldManifest): ManifestAnswer {
    this.#options.pullTimes.pulled(repository.name, known.descriptor.digest, known.pulledAt);
    this.#options.manifests.touch(held);
    return { outcome: 'hit', descriptor: known.descriptor, bytes: held.bytes };
  }
}

function find(repository: HostedRepository, reference: Reference): HostedManifest | undefined {
  const digest = isDigest(reference) ? reference : repository.tag(reference)?.to;
  return digest && repository.manifest(digest);
}

function unknownManifest(name: Repository, reference: Reference): RegistryError {
  const at = isDigest(reference) ? '@' : ':';
  return new RegistryError('MANIFEST_UNKNOWN', { message: `there is no ${name}${at}${reference} here` });
}
