/**
 * From a request's name to (registry, repository), in the order of docs/behaviour.md, "Addressing". It only looks names up: no name in a
 * request is ever an address to dial.
 */

import { excerpt, RegistryError } from '../oci/error.ts';
import {
  canonicalHost,
  HUB,
  isHostLike,
  parseRepository,
  type Repository,
  withLibrary,
} from '../oci/name.ts';
import type { RegistryReader } from './registry.ts';

export interface DirectoryEntry {
  /** The configured key, canonical: `docker.io`, `registry.lan:5000`. */
  readonly key: string;
  readonly aliases: readonly string[];
  readonly registry: RegistryReader;
}

export interface DirectoryOptions {
  readonly upstreams: readonly DirectoryEntry[];
  readonly defaultUpstream: string;
  /** Hosts (with port, if any) that are this mirror itself: of `public_url` and `http.names`. */
  readonly ownNames: readonly string[];
}

export interface Located {
  readonly registry: RegistryReader;
  readonly repository: Repository;
  /** A metric label: the configured key. */
  readonly upstream: string;
}

export class Directory {
  readonly #byHost = new Map<string, DirectoryEntry>();
  readonly #ownNames: ReadonlySet<string>;
  readonly #default: DirectoryEntry;

  /** Errors: Error when `defaultUpstream` isn't among the upstreams. */
  constructor(options: DirectoryOptions) {
    for (const entry of options.upstreams) {
      for (const name of [entry.key, ...entry.aliases]) this.#byHost.set(canonicalHost(name), entry);
    }
    this.#ownNames = new Set(options.ownNames.map(name => name.toLowerCase()));
    const fallback = this.#byHost.get(canonicalHost(options.defaultUpstream));
    if (fallback === undefined)
      throw new Error(`default_upstream ${options.defaultUpstream} is not configured`);
    this.#default = fallback;
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
    if (isHostLike(first)) throw unknownHost(first);
    return locate(this.#default, name);
  }

  /** k3s and rke2 users write the host into the path as well. An alias that is no host may be a part of a repository's name. */
  #withoutHostOf(entry: DirectoryEntry, name: string): string {
    const { first, rest } = splitFirst(name);
    return isHostLike(first) && this.#byHost.get(canonicalHost(first)) === entry ? rest : name;
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
