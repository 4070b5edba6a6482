/**
 * Names of repositories and tags, and the aliases of Docker Hub. A `Repository` or `Tag` value has been checked against the grammar of
 * OCI distribution-spec "Pulling manifests", so it may become part of a path or a URL. Each check looks at the length first.
 */
import { type Digest, parseDigest } from './digest.ts';
import { excerpt, RegistryError } from './error.ts';

/** Segments of lower-case letters and digits with single separators, joined by `/`; at most 255 characters; no host. */
export type Repository = string & { readonly __brand: 'Repository' };
/** At most 128 characters. */
export type Tag = string & { readonly __brand: 'Tag' };
/** Told apart by `isDigest`: a tag never holds a colon. */
export type Reference = Tag | Digest;

/** The canonical host of Docker Hub. */
export const HUB = 'docker.io';
const hubAliases: ReadonlySet<string> = new Set(['index.docker.io', 'registry-1.docker.io']);

const maxRepositoryLength = 255;
/** A DNS name (253) and a port. */
const maxHostLength = 259;
const segment = '[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*';
const repositoryPattern = new RegExp(`^${segment}(?:/${segment})*$`);
const hostPattern = new RegExp(`^${segment}(?::[0-9]{1,5})?$`);
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

export function isRepository(text: string): text is Repository {
  return text.length <= maxRepositoryLength && repositoryPattern.test(text);
}

/** Errors: NAME_INVALID. */
export function parseRepository(text: string): Repository {
  if (isRepository(text)) return text;
  throw new RegistryError('NAME_INVALID', {
    message: `expected a repository name of lower-case segments, at most ${maxRepositoryLength} characters, got ${excerpt(text)}`,
  });
}

export function isTag(text: string): text is Tag {
  return tagPattern.test(text);
}

/** Errors: TAG_INVALID. */
export function parseTag(text: string): Tag {
  if (isTag(text)) return text;
  throw new RegistryError('TAG_INVALID', {
    message: `expected a tag of at most 128 letters, digits, '_', '.' and '-', got ${excerpt(text)}`,
  });
}

/** With a colon a digest, else a tag. Errors: DIGEST_INVALID, TAG_INVALID. */
export function parseReference(text: string): Reference {
  return text.includes(':') ? parseDigest(text) : parseTag(text);
}

/** Whether a first segment can only be a host: it has `.` or `:`, or is `localhost`. */
export function isHostLike(firstSegment: string): boolean {
  return firstSegment.includes('.') || firstSegment.includes(':') || firstSegment === 'localhost';
}

/**
 * A name as it stands in a URL: a repository, or a host (with or without a port) and a repository after it.
 * The host does not count towards the 255 characters.
 */
export function isRawName(text: string): boolean {
  const slash = text.indexOf('/');
  const first = slash === -1 ? '' : text.slice(0, slash);
  if (!isHostLike(first)) return isRepository(text);
  return first.length <= maxHostLength && hostPattern.test(first) && isRepository(text.slice(slash + 1));
}

/** Lower case, and Docker Hub's aliases as `docker.io`. A port stays. */
export function canonicalHost(host: string): string {
  const lower = host.toLowerCase();
  return hubAliases.has(lower) ? HUB : lower;
}

/** Docker Hub keeps its official images under `library/`: one segment gets it, other names stay. */
export function withLibrary(repository: Repository): Repository {
  return repository.includes('/') ? repository : parseRepository(`library/${repository}`);
}

export type RepositoryPredicate = (repository: string) => boolean;

/**
 * By patterns of the configuration (`library/*`, `team/**`): `*` stays within a segment, `**` crosses segments.
 * Allowed: the `allow` list is empty or one of it matches, and none of `deny` does.
 */
export function allowRepositories(allow: readonly string[], deny: readonly string[]): RepositoryPredicate {
  const allowed = allow.map(compilePattern);
  const denied = deny.map(compilePattern);
  return repository =>
    (allowed.length === 0 || allowed.some(pattern => pattern.test(repository))) &&
    !denied.some(pattern => pattern.test(repository));
}

/**
 * By the patterns of `hosted.repositories`. A hosted name never begins with `localhost` or a segment with a dot or a colon: those are
 * hosts of upstreams.
 */
export function hostRepositories(patterns: readonly string[]): RepositoryPredicate {
  const hosted = patterns.map(compilePattern);
  return repository => {
    const [first = ''] = repository.split('/', 1);
    return !isHostLike(first) && hosted.some(pattern => pattern.test(repository));
  };
}

function compilePattern(pattern: string): RegExp {
  const source = pattern
    .split(/(\*\*|\*)/)
    .map(part => (part === '**' ? '.*' : part === '*' ? '[^/]*' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')))
    .join('');
  return new RegExp(`^${source}$`);
}
