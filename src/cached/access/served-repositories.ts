/**
 * Which repositories this mirror serves, by canonical name, and for whom: those of a configured upstream that may be
 * pulled. Records of a host that is no longer configured lead nowhere.
 */
import { isRepository } from '../../oci/name.ts';
import type { Caller, RepositoryPredicate } from '../../registry/caller.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import { isKnownPublic } from './known-visibility.ts';

export interface ServedUpstream {
  readonly isAllowed: RepositoryPredicate;
  readonly isPublic: boolean;
  /** What of it is public is found out, repository by repository. */
  readonly isGuarded: boolean;
}

export interface ServedRepositoriesOptions {
  open(canonicalName: string): Promise<RepositoryRecord>;
}

export class ServedRepositories {
  readonly #options: ServedRepositoriesOptions;
  readonly #upstreams = new Map<string, ServedUpstream>();

  constructor(options: ServedRepositoriesOptions) {
    this.#options = options;
  }

  add(key: string, upstream: ServedUpstream): void {
    this.#upstreams.set(key, upstream);
  }

  /** Anybody may pull it: so may they what is linked to it, through any repository. */
  isPublic(record: RepositoryRecord): boolean {
    const upstream = this.#upstreamOf(record.name);
    if (upstream === undefined) return false;
    return upstream.isPublic || (upstream.isGuarded && isKnownPublic(record));
  }

  /** Whether a name of the catalog may be shown. */
  async mayPull(name: string, caller: Caller): Promise<boolean> {
    const upstream = this.#servedBy(name);
    if (upstream === undefined) return false;
    if (!upstream.isGuarded) return caller.mayPull(name, 'public');
    if (caller.mayPull(name, 'private')) return true;
    return caller.mayPull(name, 'public') && isKnownPublic(await this.#options.open(name));
  }

  /** Undefined: not served. */
  async record(name: string): Promise<RepositoryRecord | undefined> {
    return this.#servedBy(name) === undefined ? undefined : this.#options.open(name);
  }

  #servedBy(name: string): ServedUpstream | undefined {
    const repository = name.slice(name.indexOf('/') + 1);
    const upstream = this.#upstreamOf(name);
    return isRepository(repository) && upstream?.isAllowed(repository) ? upstream : undefined;
  }

  #upstreamOf(name: string): ServedUpstream | undefined {
    return this.#upstreams.get(name.slice(0, name.indexOf('/')));
  }
}
