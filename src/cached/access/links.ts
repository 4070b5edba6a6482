/**
 * Which repositories may serve a held blob (docs/behaviour.md, "Links"): those that an upstream has answered for it, and all
 * of them once one of these is public. A manifest that names a blob makes no link.
 */
import { SingleFlight } from '../../lib/single-flight.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/name.ts';
import { type Origin, traceOf, wrapSource } from '../../registry/origin.ts';
import type { BlobSource, ReadOptions } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';

/** Public links are kept in memory. They are read from the records after the start; until then a doubt costs one HEAD. */
export class Links {
  readonly #public = new Set<Digest>();
  #loaded: Promise<void> = Promise.resolve();

  /** Reads the links of public repositories. Errors: those of `records`; what can't be read isn't public. */
  load(records: AsyncIterable<RepositoryRecord>): Promise<void> {
    this.#loaded = this.#load(records);
    return this.#loaded;
  }

  get loaded(): Promise<void> {
    return this.#loaded;
  }

  mayServe(record: RepositoryRecord, digest: Digest): boolean {
    return record.isLinked(digest) || this.#public.has(digest);
  }

  isPublic(digest: Digest): boolean {
    return this.#public.has(digest);
  }

  /** An upstream answered for that blob through that repository. */
  link(record: RepositoryRecord, digest: Digest, isPublic: boolean): void {
    if (!record.isLinked(digest)) record.link(digest);
    if (isPublic) this.#public.add(digest);
  }

  /** The repository has turned out to be public, and so have its links. */
  publish(record: RepositoryRecord): void {
    for (const digest of record.links()) this.#public.add(digest);
  }

  /**
   * The repository isn't public any more. What it shares with another public one leaves the set too: that one has its
   * own links, and a third repository asks the upstream once more.
   */
  withdraw(record: RepositoryRecord): void {
    for (const digest of record.links()) this.#public.delete(digest);
  }

  /** The blob isn't held any more. The next answer of an upstream makes it public again. */
  forget(digest: Digest): void {
    this.#public.delete(digest);
  }

  async #load(records: AsyncIterable<RepositoryRecord>): Promise<void> {
    for await (const record of records) this.publish(record);
  }
}

export interface LinkProofsOptions {
  readonly origin: Origin;
  readonly links: Links;
  /** Any client may pull from this repository: its links are public. */
  isPublic(record: RepositoryRecord): boolean;
  /** Ends the HEADs, which outlive their clients. */
  readonly signal: AbortSignal;
}

/**
 * How a link is made: by a successful upstream answer, to a HEAD for that purpose or to the download. Required before a held
 * blob is served, and before a client joins the download of another repository.
 */
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
    options: Pick<ReadOptions, 'signal' | 'requestId'>,
  ): Promise<void> {
    const { links } = this.#options;
    if (links.mayServe(record, digest)) return;
    try {
      await this.ask(record, repository, digest, options, true);
    } catch (error) {
      await links.loaded; // an upstream that is away decides nothing while the public links are still being read
      if (!(error instanceof UpstreamError) || error.failure === 'gone' || !links.mayServe(record, digest))
        throw error;
    }
  }

  /** One upstream HEAD; its success is the link. Resolves with the size in bytes, if it says. Errors: UpstreamError. */
  async ask(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    options: Pick<ReadOptions, 'signal' | 'requestId'>,
    existenceOnly = false,
  ): Promise<number | undefined> {
    const key = `${record.name}@${digest}${existenceOnly ? '' : ' size'}`;
    const { value } = await this.#heads.run(key, options.signal, async () => {
      const asked = { signal: this.#options.signal, existenceOnly, ...traceOf(options) };
      const { size } = await this.#options.origin.stat(repository, digest, asked);
      this.#options.links.link(record, digest, this.#options.isPublic(record));
      return size;
    });
    return value;
  }

  /** A source whose first answer links the blob to the repository that it is read through. */
  linkingSource(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    request: Pick<ReadOptions, 'requestId'>,
  ): BlobSource {
    const { origin, links } = this.#options;
    return wrapSource(origin.blobSource(repository, digest), source => ({
      open: async (offset, options) => {
        const opened = await source.open(offset, { ...options, ...traceOf(request) });
        links.link(record, digest, this.#options.isPublic(record));
        return opened;
      },
    }));
  }
}
