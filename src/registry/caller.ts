/**
 * The caller of a registry and its rights. Rights are decided by repository name, before the repository is looked up.
 * Canonical names are `docker.io/library/alpine`; those of hosted repositories have no host.
 */

export type Visibility = 'public' | 'private';

export interface Caller {
  /** The login name; undefined: anonymous. */
  readonly user: string | undefined;
  /**
   * May pull from that repository if its content is public, or private. The registry knows which, so it asks for both.
   * A caller who may pull private content may pull public content too.
   */
  mayPull(canonicalName: string, visibility: Visibility): boolean;
  /** May upload blobs, and put manifests and tags. */
  mayPush(canonicalName: string): boolean;
  /** May delete tags, manifests and blobs. */
  mayDelete(canonicalName: string): boolean;
  /** May pin, evict, refresh and restore. */
  mayAdminister(canonicalName: string): boolean;
}

/** No login and no rules: pulls public content. */
export const anonymousCaller: Caller = {
  user: undefined,
  mayPull: (_name, visibility) => visibility === 'public',
  mayPush: () => false,
  mayDelete: () => false,
  mayAdminister: () => false,
};

/** Reached the admin socket, so runs as the daemon's own user or as root: every right. */
export const operatorCaller: Caller = {
  user: undefined,
  mayPull: () => true,
  mayPush: () => true,
  mayDelete: () => true,
  mayAdminister: () => true,
};

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

function compilePattern(pattern: string): RegExp {
  const source = pattern
    .split(/(\*\*|\*)/)
    .map(part => (part === '**' ? '.*' : part === '*' ? '[^/]*' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')))
    .join('');
  return new RegExp(`^${source}$`);
}
