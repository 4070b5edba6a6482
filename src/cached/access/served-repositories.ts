/**
 * Which repositories this mirror serves, by canonical name (`docker.io/library/alpine`), to whom, and their list
 * (`/v2/_catalog`). Records of an upstream that is no longer configured are not served.
 */
import { SingleFlight } from '../../lib/single-flight.ts';
import { isRepository, type RepositoryPredicate } from '../../oci/name.ts';
import { anonymousCaller, type Caller } from '../../registry/caller.ts';
import { byText, cutPage } from '../../registry/page.ts';
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
  readonly #records: Pick<Records, 'open' | 'names' | 'flush'>;
  readonly #upstreams = new Map<string, ServedUpstream>();
  readonly #reads = new SingleFlight<readonly string[]>();

  constructor(records: Pick<Records, 'open' | 'names' | 'flush'>) {
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

  /** What the caller may pull of what is held, read from the records on disk. Errors: `StoreError` scan. */
  async repositories(options: PageOptions): Promise<RepositoriesPage> {
    const { value: names } = await this.#reads.run('all', options.signal, () => this.#readNames());
    const { caller = anonymousCaller } = options;
    const allowed: string[] = [];
    for (const name of names) if (await this.#mayPull(name, caller)) allowed.push(name);
    const { entries, next } = cutPage(allowed, byText, options);
    return { outcome: 'hit', repositories: entries, ...(next && { next }) };
  }

  async #mayPull(name: string, caller: Caller): Promise<boolean> {
    const upstream = this.#servedBy(name);
    if (upstream === undefined) return false;
    if (!upstream.isGuarded) return caller.mayPull(name, 'public');
    if (caller.mayPull(name, 'private')) return true;
    return caller.mayPull(name, 'public') && isKnownPublic(await this.#records.open(name));
  }

  async #readNames(): Promise<readonly string[]> {
    await this.#records.flush(); // a repository that was pulled a moment ago is on disk then
    const names: string[] = [];
    for await (const name of this.#records.names()) names.push(name);
    return names.sort(byText);
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
