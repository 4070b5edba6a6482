/** Repository patterns of the configuration (`library/*`, `team/**`): `*` stays within a segment, `**` crosses them. */

export type RepositoryPredicate = (repository: string) => boolean;

function compile(pattern: string): RegExp {
  const source = pattern
    .split(/(\*\*|\*)/)
    .map(part => (part === '**' ? '.*' : part === '*' ? '[^/]*' : part.replace(/[.+?^${}()|[\]\\]/g, '\\$&')))
    .join('');
  return new RegExp(`^${source}$`);
}

/** Allowed: no `allow` list or one of it matches, and none of `deny`. */
export function allowRepositories(allow: readonly string[], deny: readonly string[]): RepositoryPredicate {
  const allowed = allow.map(compile);
  const denied = deny.map(compile);
  return repository =>
    (allowed.length === 0 || allowed.some(pattern => pattern.test(repository))) &&
    !denied.some(pattern => pattern.test(repository));
}
