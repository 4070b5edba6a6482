/**
 * Which repositories this mirror serves, by canonical name (`docker.io/library/alpine`), to whom, and their list
 * (`/v2/_catalog`). Records of an upstream that is no longer configured are not served.
 */
import { TimeSlice } from '../../lib/time-slice.ts';
import { waitFor } from '../../lib/wait.ts';
import { isRepository, type RepositoryPredicate } from '../../oci/name.ts';
import { anonymousCaller, type Caller, type Visibility } from '../../registry/caller.ts';
import { byText, firstAfter } from '../../registry/page.ts';
import type { PageOptions, RepositoriesPage, RepositoryCatalog } from '../../registry/registry.ts';
import type { Records } from '../../store/records/records.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import { isKnownPublic } from './visibility.ts';

export interface ServedUpstream {
  readonly isAllowed: RepositoryPredicate;
  readonly isPublic: boolean;
  /** The upstream has credentials: which repositories are public is found out one by one. */
  readonly isGuarded: boolean;
}

export class ServedRepositories implements RepositoryCatalog {
  readonly #records: Pick<Records, 'open' | 'allNames' | 'names' | 'visibilityOf'>;
  readonly #upstreams = new Map<string, ServedUpstream>();

  constructor(records: Pick<Records, 'open' | 'allNames' | 'names' | 'visibilityOf'>) {
    this.#records = records;
  }

  add(key: string, upstream: ServedUpstream): void {
    this.#upstreams.set(key, upstream);
  }

  /** Any client may pull it, and so its links are public. */
  isPublic(record: RepositoryRecord): boolean {
    const upstream = this.#upstreamOf(record.name);
    if (upstream === undefined) return false;
    return upstream.isPublic || (upstream.isGuarded && isKnownPublic(record));
  }

  /** Undefined: not served. */
  async record(name: string): Promise<RepositoryRecord | undefined> {
    return this.#servedBy(name) === undefined ? undefined : this.#records.open(name);
  }

  /** Canonical names of all that is held, sorted by code units; to whom they may be shown is another question. */
  names(): readonly string[] {
    return this.#records.names();
  }

  /** What the caller may pull of what is held, from memory: no look at the disk once the store was read. Errors: `StoreError` scan. */
  async repositories(options: PageOptions): Promise<RepositoriesPage> {
    const { caller = anonymousCaller, signal, n = Infinity } = options;
    const names = await waitFor(this.#records.allNames(), signal);
    const slice = new TimeSlice();
    const repositories: string[] = [];
    for (let at = firstAfter(names, byText, options.last); at < names.length && n > 0; at += 1) {
      const name = names[at] ?? '';
      if (slice.isOver) await slice.next();
      if (!(await this.mayPull(name, caller))) continue;
      const last = repositories.at(-1);
      if (repositories.length === n && last !== undefined)
        return { outcome: 'hit', repositories, next: { last, n } };
      repositories.push(name);
    }
    return { outcome: 'hit', repositories };
  }

  /** The caller may pull it, and so may know that it is held. From memory once the store was read. */
  async mayPull(name: string, caller: Caller): Promise<boolean> {
    const upstream = this.#servedBy(name);
    if (upstream === undefined) return false;
    if (!upstream.isGuarded) return caller.mayPull(name, 'public');
    if (caller.mayPull(name, 'private')) return true;
    return caller.mayPull(name, 'public') && (await this.#records.visibilityOf(name)) === 'public';
  }

  /** `unknown`: the upstream has credentials and was not asked without them yet. */
  async visibilityOf(name: string): Promise<Visibility | 'unknown'> {
    const upstream = this.#servedBy(name);
    if (upstream === undefined) return 'unknown';
    if (!upstream.isGuarded) return 'public';
    return (await this.#records.visibilityOf(name)) ?? 'unknown';
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
