/**
 * How a blob gets linked to a repository: an upstream's successful answer, to a HEAD asked for that purpose or to the
 * download itself. Asked before a held blob is served or a download that others started is joined.
 */

import { SingleFlight } from '../../lib/single-flight.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/name.ts';
import { wrapSource } from '../../registry/map-origin.ts';
import type { Origin } from '../../registry/origin.ts';
import type { BlobSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { Links } from './links.ts';

export interface LinkProofsOptions {
  readonly origin: Origin;
  readonly links: Links;
  /** Anybody may pull from this repository: its links are public. */
  isPublic(record: RepositoryRecord): boolean;
  /** Ends what outlives its clients. */
  readonly signal: AbortSignal;
}

export class LinkProofs {
  readonly #options: LinkProofsOptions;
  readonly #heads = new SingleFlight<number | undefined>();

  constructor(options: LinkProofsOptions) {
    this.#options = options;
  }

  /** Errors: UpstreamError when there is no link and none could be made. */
  async require(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<void> {
    const { links } = this.#options;
    if (links.mayServe(record, digest)) return;
    try {
      await this.ask(record, repository, digest, signal);
    } catch (error) {
      await links.loaded; // while the public links are still being read, an upstream's silence decides nothing
      if (!(error instanceof UpstreamError) || error.failure === 'gone' || !links.mayServe(record, digest))
        throw error;
    }
  }

  /** One upstream HEAD; its success is the link. Resolves with the size in bytes, if it says. Errors: UpstreamError. */
  async ask(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const { value } = await this.#heads.run(`${record.name}@${digest}`, signal, async () => {
      const { size } = await this.#options.origin.stat(repository, digest, { signal: this.#options.signal });
      this.#options.links.link(record, digest, this.#options.isPublic(record));
      return size;
    });
    return value;
  }

  /** A source whose first answer links the blob to the repository it was asked through. */
  linkingSource(record: RepositoryRecord, repository: Repository, digest: Digest): BlobSource {
    const { origin, links } = this.#options;
    return wrapSource(origin.blobSource(repository, digest), source => ({
      open: async (offset, options) => {
        const opened = await source.open(offset, options);
        links.link(record, digest, this.#options.isPublic(record));
        return opened;
      },
    }));
  }
}
