/**
 * Image names of the command line: `[HOST/]REPOSITORY[:TAG|@DIGEST]`, to the canonical name and the reference. The host need not be
 * configured: its images may still be held.
 */
import { type Digest, isDigest, parseDigest } from '../oci/digest.ts';
import { excerpt, RegistryError } from '../oci/error.ts';
import {
  canonicalHost,
  HUB,
  hostRepositories,
  isHostLike,
  isRawName,
  parseRepository,
  parseTag,
  type Reference,
  type Repository,
  withLibrary,
} from '../oci/name.ts';

export interface ImageHosts {
  /** Canonical keys and aliases of the configured upstreams, to their keys. */
  readonly keys: ReadonlyMap<string, string>;
  /** For names without a host that aren't hosted here; absent: there is no upstream. */
  readonly fallback?: string;
  /** Over names without a host. Absent: none is. */
  readonly isHosted?: (repository: string) => boolean;
  /** Hosts under which clients know this mirror: `mirror.lan:5000/ghcr.io/owner/app` is `ghcr.io/owner/app`. */
  readonly own?: ReadonlySet<string>;
}

/** What `ImageHosts` needs of the configuration. */
export interface NamedUpstreams {
  readonly upstreams: ReadonlyMap<string, { readonly key: string; readonly aliases: readonly string[] }>;
  readonly defaultUpstream?: string;
  readonly hosted: { readonly repositories: readonly string[] };
  readonly http: {
    readonly publicUrl?: string;
    readonly names: readonly string[];
    readonly listen: readonly { readonly host: string; readonly port: number }[];
  };
}

export function imageHostsOf({ upstreams, defaultUpstream, hosted, http }: NamedUpstreams): ImageHosts {
  const keys = new Map<string, string>();
  for (const { key, aliases } of upstreams.values())
    for (const name of [key, ...aliases]) keys.set(canonicalHost(name), key);
  const isHosted = hostRepositories(hosted.repositories);
  return {
    keys,
    ...(defaultUpstream !== undefined && { fallback: defaultUpstream }),
    isHosted,
    own: ownHosts(http),
  };
}

/** As they stand in image names: with the port. */
function ownHosts({ publicUrl, names, listen }: NamedUpstreams['http']): ReadonlySet<string> {
  const local = listen.flatMap(({ host, port }) => [
    `localhost:${port}`,
    `127.0.0.1:${port}`,
    `${host.toLowerCase()}:${port}`,
  ]);
  return new Set([...local, ...names, ...(publicUrl === undefined ? [] : [new URL(publicUrl).host])]);
}

export interface ImageName {
  /** Empty: hosted here. */
  readonly host: string;
  /** Within its registry: `library/alpine`. */
  readonly repository: Repository;
  /** Canonical: `docker.io/library/alpine`; of a hosted repository `team/app`. */
  readonly name: string;
  /** Without one: `latest`. */
  readonly reference: Reference;
}

/** A digest alone is a blob of any repository. Errors: NAME_INVALID, TAG_INVALID, DIGEST_INVALID. */
export function parseImageOrBlob(text: string, hosts: ImageHosts): ImageName | Digest {
  return isDigest(text) ? text : parseImage(text, hosts);
}

/** Errors: NAME_INVALID, TAG_INVALID, DIGEST_INVALID. */
export function parseImage(text: string, hosts: ImageHosts): ImageName {
  const [rawName, reference] = splitReference(text);
  if (!isRawName(rawName)) {
    throw new RegistryError('NAME_INVALID', {
      message: `expected [HOST/]REPOSITORY[:TAG|@DIGEST] in lower case, got ${excerpt(text)}`,
    });
  }
  const { first, rest } = hostAndRest(rawName, hosts);
  const key = hosts.keys.get(canonicalHost(first)) ?? (isHostLike(first) ? canonicalHost(first) : undefined);
  const plain = parseRepository(key === undefined && first !== '' ? `${first}/${rest}` : rest);
  if (key === undefined && hosts.isHosted?.(plain) === true)
    return { host: '', repository: plain, name: plain, reference };
  const host = key ?? hosts.fallback;
  if (host === undefined) {
    throw new RegistryError('NAME_INVALID', {
      message: `${plain} is not hosted here, and there is no upstream for names without a host`,
    });
  }
  const repository = host === HUB ? withLibrary(plain) : plain;
  return { host, repository, name: `${host}/${repository}`, reference };
}

/** The first segment and what follows it, without a host of this mirror. `first` is empty for a single segment. */
export function hostAndRest(
  name: string,
  hosts: ImageHosts,
): { readonly first: string; readonly rest: string } {
  const slash = name.indexOf('/');
  const [first, rest] = slash === -1 ? ['', name] : [name.slice(0, slash), name.slice(slash + 1)];
  const isOwn = hosts.own?.has(first.toLowerCase()) === true && !hosts.keys.has(canonicalHost(first));
  return isOwn ? hostAndRest(rest, { ...hosts, own: new Set() }) : { first, rest };
}

/** `docker.io/library/alpine:3.20`, `…@sha256:…`. */
export function formatImage({ name, reference }: Pick<ImageName, 'name' | 'reference'>): string {
  return `${name}${isDigest(reference) ? '@' : ':'}${reference}`;
}

function splitReference(text: string): [string, Reference] {
  const at = text.lastIndexOf('@');
  const named = at === -1 ? text : text.slice(0, at);
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  if (at === -1) {
    return colon === -1
      ? [text, parseTag('latest')]
      : [text.slice(0, colon), parseTag(text.slice(colon + 1))];
  }
  if (colon === -1) return [named, parseDigest(text.slice(at + 1))];
  throw new RegistryError('NAME_INVALID', {
    message: `expected a tag or a digest, got both: ${excerpt(text)}`,
  });
}
