/**
 * Adoption: a blob that the mirror's side holds and that any client may pull becomes a blob of a hosted repository when a caller who may
 * push there asks for it. So layers that came through the mirror are never uploaded.
 */
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/name.ts';
import type { ReadOptions } from '../registry/registry.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { BlobLinks } from './blob-links.ts';
import type { HostedLink } from './log/hosted-log.ts';

export interface AdoptionOptions {
  readonly links: Pick<BlobLinks, 'linkHeld'>;
  /** Of what the mirror's side holds and any client may pull there: bytes. */
  publicSize(digest: Digest): Promise<number | undefined>;
  /** Errors: any, while nothing may be written. */
  requireWritable(): void;
  /** A link younger than that is not renewed: a push asks for each of its blobs. Shorter than `gc_grace`. Milliseconds. */
  readonly freshMs: number;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

export class Adoption {
  readonly #options: AdoptionOptions;

  constructor(options: AdoptionOptions) {
    this.#options = options;
  }

  /** Resolves with the size in bytes; undefined: the caller may not push, or there is nothing to adopt. Never throws for the disk or the log. */
  async adopt(
    repository: Repository,
    digest: Digest,
    { caller }: Pick<ReadOptions, 'caller'>,
  ): Promise<number | undefined> {
    if (caller?.mayPush(repository) !== true) return undefined;
    if ((await this.#options.publicSize(digest)) === undefined) return undefined;
    return this.#link(repository, digest, caller.user, 'adopt');
  }

  /** A pusher asks for a blob that the repository has: its link is made young again, so that no collection drops it before the manifest comes. */
  async renew(
    repository: Repository,
    link: HostedLink,
    { caller }: Pick<ReadOptions, 'caller'>,
  ): Promise<void> {
    const { now, freshMs } = this.#options;
    if (caller?.mayPush(repository) !== true || now() - link.at < freshMs) return;
    await this.#link(repository, link.digest, caller.user, 'push');
  }

  /** A HEAD is a question: where nothing can be written now, the answer is that the blob has to be pushed. */
  async #link(
    repository: Repository,
    digest: Digest,
    user: string | undefined,
    how: 'adopt' | 'push',
  ): Promise<number | undefined> {
    const { links, requireWritable, logger } = this.#options;
    try {
      requireWritable();
      return await links.linkHeld({ repository, digest, user, how });
    } catch (error) {
      logger.debug('a blob could not be linked', { repository, digest, error });
      return undefined;
    }
  }
}
