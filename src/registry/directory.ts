/**
 * From a request's name to (registry, repository), in the order of docs/behaviour.md, "Addressing". It only looks names up: no name in a
 * request is ever an address to dial.
 */

import { excerpt, RegistryError } from '../oci/error.ts';
import {
  canonicalHost,
  HUB,
  hostRepositories,
  isHostLike,
  isRepository,
  parseRepository,
  type Repository,
  type RepositoryPredicate,
  withLibrary,
} from '../oci/name.ts';
import type { RegistryReader } from './registry.ts';
import type { RegistryDeleter, RegistryWriter } from './writer.ts';

export interface DirectoryEntry {
  /** The configured key, canonical: `docker.io`, `registry.lan:5000`. */
  readonly key: string;
  readonly aliases: readonly string[];
  readonly registry: RegistryReader;
}

/** The private registry and the patterns over the names that are its own. */
export interface HostedEntry {
  readonly patterns: readonly string[];
  readonly registry: RegistryReader & RegistryWriter & RegistryDeleter;
}

export interface DirectoryOptions {
  readonly upstreams: readonly DirectoryEntry[];
  /** Absent: names without a host are hosted or unknown. */
  readonly defaultUpstream?: string;
  /** Absent: nothing is hosted. */
  readonly hosted?: HostedEntry;
  /** Hosts (with port, if any) that are this mirror itself: of `public_url` and `http.names`. */
  readonly ownNames: readonly string[];
}

/** The metric label of hosted repositories. No upstream has that key: keys have a dot or a port, or are `localhost`. */
export const HOSTED = 'hosted';

export interface Located {
  readonly registry: RegistryReader;
  readonly repository: Repository;
  /** A metric label: the configured key, or `hosted`. */
  readonly upstream: string;
  /** Absent: nothing can be pushed there. */
  readonly writer?: RegistryWriter;
  /** Absent: nothing can be deleted there. */
  readonly deleter?: RegistryDeleter;
}

/** What rules are about: `docker.io/library/alpine`; hosted names have no host. */
export function canonicalNameOf({ upstream, repository }: Pick<Located, 'upstream' | 'repository'>): string {
  return upstream === HOSTED ? repository : `${upstream}/${repository}`;
}

export class Directory {
  readonly #byHost = new Map<string, DirectoryEntry>();
  readonly #ownNames: ReadonlySet<string>;
  readonly #default: DirectoryEntry | undefined;
  readonly #hosted: HostedEntry | undefined;
  readonly #isHosted: RepositoryPredicate;

  /** Errors: Error when `defaultUpstream` isn't among the upstreams. */
  constructor(options: DirectoryOptions) {
    for (const entry of options.upstreams) {
      for (const name of [entry.key, ...entry.aliases]) this.#byHost.set(canonicalHost(name), entry);
    }
    this.#ownNames = new Set(options.ownNames.map(name => name.toLowerCase()));
    this.#default =
      options.defaultUpstream === undefined
        ? undefined
        : this.#byHost.get(canonicalHost(options.defaultUpstream));
    if (options.defaultUpstream !== undefined && this.#default === undefined)
      throw new Error(`default_upstream ${options.defaultUpstream} is not configured`);
    this.#hosted = options.hosted;
    this.#isHosted = hostRepositories(options.hosted?.patterns ?? []);
  }

  /** Over hosted names; empty: nothing is hosted. */
  get hostedPatterns(): readonly string[] {
    return this.#hosted?.patterns ?? [];
  }

  /**
   * `ns` as the client sent it; `hostHeader` names this mirror, so an `ns` equal to it counts as absent.
   * Errors: NAME_UNKNOWN for a host that isn't configured; NAME_INVALID.
   */
  find(name: string, ns: string | undefined, hostHeader: string | undefined): Located {
    if (ns !== undefined && ns !== '' && !this.#isOwn(ns, hostHeader)) {
      const entry = this.#byHost.get(canonicalHost(ns));
      if (entry === undefined) throw unknownHost(ns);
      return locate(entry, this.#withoutHostOf(entry, name));
    }
    const { first, rest } = splitFirst(name);
    const addressed = first === '' ? undefined : this.#byHost.get(canonicalHost(first));
    if (addressed !== undefined) return locate(addressed, rest);
    const hosted = this.#hosted;
    if (hosted !== undefined && this.#isHostedName(name)) {
      const { registry } = hosted;
      return { registry, writer: registry, deleter: registry, repository: name, upstream: HOSTED };
    }
    if (isHostLike(first)) throw unknownHost(first);
    if (this.#default === undefined) {
      const repository = parseRepository(name);
      throw new RegistryError('NAME_UNKNOWN', {
        message: `${repository} is not hosted here, and no upstream is configured for it`,
      });
    }
    return locate(this.#default, name);
  }

  /** k3s and rke2 users write the host into the path as well. An alias that is no host may be a part of a repository's name. */
  #withoutHostOf(entry: DirectoryEntry, name: string): string {
    const { first, rest } = splitFirst(name);
    return isHostLike(first) && this.#byHost.get(canonicalHost(first)) === entry ? rest : name;
  }

  #isHostedName(name: string): name is Repository {
    const [first = ''] = name.split('/', 1);
    return isRepository(name) && this.#isHosted(name) && !this.#byHost.has(canonicalHost(first));
  }

  #isOwn(ns: string, hostHeader: string | undefined): boolean {
    const host = ns.toLowerCase();
    return this.#ownNames.has(host) || host === hostHeader?.toLowerCase();
  }
}

function splitFirst(name: string): { readonly first: string; readonly rest: string } {
  const slash = name.indexOf('/');
  return slash === -1
    ? { first: '', rest: name }
    : { first: name.slice(0, slash), rest: name.slice(slash + 1) };
}

function locate(entry: DirectoryEntry, name: string): Located {
  const repository = parseRepository(name);
  return {
    registry: entry.registry,
    repository: entry.key === HUB ? withLibrary(repository) : repository,
    upstream: entry.key,
  };
}

function unknownHost(host: string): RegistryError {
  return new RegistryError('NAME_UNKNOWN', {
    message: `no upstream is configured under the host ${excerpt(host)}`,
  });
}
