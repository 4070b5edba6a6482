/**
 * Who asks, and which repositories they may have. Rights are decided by name before anything is looked up; only the registry finds out
 * whether a repository is public, so it asks for both.
 */

export type Visibility = 'public' | 'private';

export interface Caller {
  /**
   * Whether this caller may pull from that repository if its content is public, or private. `canonicalName`: `docker.io/library/alpine`.
   * A caller who may have private content may have public content.
   */
  mayPull(canonicalName: string, visibility: Visibility): boolean;
}

/** Gets what is public, and nothing else. */
export const anonymous: Caller = { mayPull: (_name, visibility) => visibility === 'public' };

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
