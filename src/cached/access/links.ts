/**
 * Who may have a held blob (docs/behaviour.md, "Links"): the repositories that an upstream has answered for it, and
 * everybody, once one of those repositories is public. A manifest that names a blob makes no link.
 *
 * The public ones are kept in memory and read from the records behind the start; until that is done a doubt costs one
 * HEAD, never a leak.
 */
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';

export class Links {
  readonly #public = new Set<Digest>();
  #loaded: Promise<void> = Promise.resolve();

  /** Reads the public repositories' links. Errors are the records' own to report; what can't be read isn't public. */
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

  /** The repository has turned out to be public: so is what was linked to it before. */
  publish(record: RepositoryRecord): void {
    for (const digest of record.links()) this.#public.add(digest);
  }

  /**
   * The repository isn't public any more. What it shares with one that is goes from the set too: that one has its own
   * links, and a third repository asks once more.
   */
  withdraw(record: RepositoryRecord): void {
    for (const digest of record.links()) this.#public.delete(digest);
  }

  async #load(records: AsyncIterable<RepositoryRecord>): Promise<void> {
    for await (const record of records) {
      for (const digest of record.links()) this.#public.add(digest);
    }
  }
}
