/**
 * Adoption: a blob that the mirror's side holds and that any client may pull becomes a blob of a hosted repository when somebody who may
 * push there asks for it. So layers that came through the mirror are never uploaded.
 */
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/name.ts';
import type { BlobLinks } from './blob-links.ts';
import type { HostedLog } from './log/hosted-log.ts';

export interface AdoptionOptions {
  readonly log: Pick<HostedLog, 'readRepository'>;
  readonly links: Pick<BlobLinks, 'linkHeld'>;
  /** Bytes; undefined: not held, or known to be bad. */
  readonly sizeOf: (digest: Digest) => Promise<number | undefined>;
  /** The mirror's side holds it, and any client may pull it there. */
  isPublic(digest: Digest): boolean;
  /** A link younger than that is not written again: a push asks for each of its blobs. Shorter than `gc_grace`. Milliseconds. */
  readonly freshMs: number;
  /** Milliseconds since the epoch. */
  now(): number;
}

export class Adoption {
  readonly #options: AdoptionOptions;

  constructor(options: AdoptionOptions) {
    this.#options = options;
  }

  /**
   * For a caller who may push to `repository`. Links the blob, or makes its link young again, so that no collection drops it before its
   * manifest comes. Resolves with the size in bytes; undefined: the repository hasn't got it, and it can't be adopted. Errors: those of
   * the log; `StoreError`.
   */
  async adopt(repository: Repository, digest: Digest, user: string | undefined): Promise<number | undefined> {
    const { log, links, sizeOf, isPublic, freshMs, now } = this.#options;
    const link = (await log.readRepository(repository))?.link(digest);
    if (link !== undefined && now() - link.at < freshMs) return sizeOf(digest);
    if (link === undefined && !isPublic(digest)) return undefined;
    return links.linkHeld({ repository, digest, user, how: 'adopt' });
  }
}
