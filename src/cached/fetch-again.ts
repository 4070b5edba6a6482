/**
 * Fetches content again that turned out bad and was set aside, before a client asks for it: through the repositories that had it, as a
 * pull by the operator would. Public ones come first; the first that gives it ends the search.
 */
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { parseRepository, type Repository } from '../oci/name.ts';
import { operatorCaller } from '../registry/caller.ts';
import type { BlobReader, RegistryReader } from '../registry/registry.ts';
import type { Records } from '../store/records/records.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import { MismatchError, StoreError } from '../store/store-error.ts';

export interface FetchAgainOptions {
  readonly records: Pick<Records, 'allNames' | 'look'>;
  /** Of a configured upstream, by its host. */
  registry(host: string): Pick<RegistryReader, 'manifest' | 'blob'> | undefined;
  isPublic(record: RepositoryRecord): boolean;
  /** Resolves when no download of it runs: readers have its bytes a moment before it has its place. */
  ended(digest: Digest): Promise<void>;
}

export type FetchedAgain = 'fetched' | { readonly reason: string };

/** More repositories than that are not asked for one file. */
const maxAsked = 3;
const blockBytes = 64 * 1024;

export class FetchAgain {
  readonly #options: FetchAgainOptions;

  constructor(options: FetchAgainOptions) {
    this.#options = options;
  }

  /** At most so many, those of public content first. What can't be read is left out. */
  async repositoriesOf(digest: Digest, max = maxAsked): Promise<readonly string[]> {
    return (await this.#recordsOf(digest)).slice(0, max).map(({ name }) => name);
  }

  /** Errors: the signal's reason. */
  async fetch(digest: Digest, signal: AbortSignal): Promise<FetchedAgain> {
    let reason = 'no repository names it any more';
    for (const record of (await this.#recordsOf(digest)).slice(0, maxAsked)) {
      try {
        if (await this.#fetchFrom(record, digest, signal)) return 'fetched';
        reason = `the upstream of ${record.name} is not configured any more`;
      } catch (error) {
        signal.throwIfAborted();
        if (
          !(error instanceof RegistryError || error instanceof StoreError || error instanceof MismatchError)
        )
          throw error;
        reason = error.message;
      }
    }
    return { reason };
  }

  /** False: its upstream is not configured. Errors: those of a pull. */
  async #fetchFrom(record: RepositoryRecord, digest: Digest, signal: AbortSignal): Promise<boolean> {
    const [host, repository] = split(record.name);
    const registry = this.#options.registry(host);
    if (registry === undefined) return false;
    const options = { signal, caller: operatorCaller };
    if (record.manifest(digest) !== undefined) await registry.manifest(repository, digest, options);
    else {
      await drain((await registry.blob(repository, digest, undefined, options)).reader);
      await this.#options.ended(digest);
    }
    return true;
  }

  async #recordsOf(digest: Digest): Promise<readonly RepositoryRecord[]> {
    const { records, isPublic } = this.#options;
    const found: RepositoryRecord[] = [];
    for (const name of await records.allNames()) {
      const record = await records.look(name).catch(() => undefined); // a foreign folder, reported at the start
      if (record === undefined) continue;
      if (record.isLinked(digest) || record.manifest(digest) !== undefined) found.push(record);
    }
    return found.sort((one, other) => Number(isPublic(other)) - Number(isPublic(one)));
  }
}

/** Its last byte comes when all are verified. Errors: those of the reader. */
async function drain(reader: BlobReader): Promise<void> {
  const block = Buffer.allocUnsafe(blockBytes);
  try {
    for (let at = 0; ; ) {
      const count = await reader.read(block, at);
      if (count === 0) return;
      at += count;
    }
  } finally {
    await reader.close();
  }
}

function split(name: string): [host: string, repository: Repository] {
  const slash = name.indexOf('/');
  return [name.slice(0, slash), parseRepository(name.slice(slash + 1))];
}
