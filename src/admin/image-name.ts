/**
 * Image names of the command line: `[HOST/]REPOSITORY[:TAG|@DIGEST]`, to the canonical name and the reference. The host need not be
 * configured: its images may still be held.
 */
import { type Digest, isDigest, parseDigest } from '../oci/digest.ts';
import { excerpt, RegistryError } from '../oci/error.ts';
import {
  canonicalHost,
  HUB,
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
  /** For names without a host. */
  readonly fallback: string;
}

/** What `ImageHosts` needs of the configuration. */
export interface NamedUpstreams {
  readonly upstreams: ReadonlyMap<string, { readonly key: string; readonly aliases: readonly string[] }>;
  readonly defaultUpstream: string;
}

export function imageHostsOf({ upstreams, defaultUpstream }: NamedUpstreams): ImageHosts {
  const keys = new Map<string, string>();
  for (const { key, aliases } of upstreams.values())
    for (const name of [key, ...aliases]) keys.set(canonicalHost(name), key);
  return { keys, fallback: defaultUpstream };
}

export interface ImageName {
  readonly host: string;
  /** Within its registry: `library/alpine`. */
  readonly repository: Repository;
  /** Canonical: `docker.io/library/alpine`. */
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
  const slash = rawName.indexOf('/');
  const first = slash === -1 ? '' : rawName.slice(0, slash);
  const key = hosts.keys.get(canonicalHost(first)) ?? (isHostLike(first) ? canonicalHost(first) : undefined);
  const host = key ?? hosts.fallback;
  const plain = parseRepository(key === undefined ? rawName : rawName.slice(slash + 1));
  const repository = host === HUB ? withLibrary(plain) : plain;
  return { host, repository, name: `${host}/${repository}`, reference };
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
