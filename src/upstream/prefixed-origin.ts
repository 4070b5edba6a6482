/**
 * An upstream that keeps all repositories below one path: a Harbor project, an Artifactory repository, an ECR pull-through
 * cache. The prefix goes before each repository on the way there, token scopes included; what comes back is under its own
 * name again.
 */
import { parseRepository, type Repository } from '../oci/name.ts';
import type { Origin } from '../registry/origin.ts';
import { mapOrigin } from '../registry/origin.ts';
import type { BlobSource } from '../registry/registry.ts';

/** `prefix`: without slashes at its ends. Errors of its methods: NAME_INVALID too, for a name that becomes too long. */
export function prefixOrigin(origin: Origin, prefix: string): Origin {
  const inside = (repository: Repository): Repository => parseRepository(`${prefix}/${repository}`);
  return mapOrigin(origin, {
    resolve: async (repository, ...asked) => origin.resolve(inside(repository), ...asked),
    manifest: async (repository, ...asked) => origin.manifest(inside(repository), ...asked),
    stat: async (repository, ...asked) => origin.stat(inside(repository), ...asked),
    blob: async (repository, ...asked) => origin.blob(inside(repository), ...asked),
    foreign: async (repository, ...asked) => origin.foreign(inside(repository), ...asked),
    tags: async (repository, ...asked) => origin.tags(inside(repository), ...asked),
    referrers: async (repository, ...asked) => origin.referrers(inside(repository), ...asked),
    blobSource: (repository, digest) =>
      renameSource(origin.blobSource(inside(repository), digest), repository),
  });
}

/** `repository` as the mirror knows it. Undefined: it isn't below the prefix. */
export function withoutPrefix(repository: string, prefix: string | undefined): string | undefined {
  if (prefix === undefined) return repository;
  return repository.startsWith(`${prefix}/`) ? repository.slice(prefix.length + 1) : undefined;
}

function renameSource(source: BlobSource, repository: Repository): BlobSource {
  const { alternatives } = source;
  return {
    ...source,
    repository,
    ...(alternatives !== undefined && {
      alternatives: alternatives.map(alternative => renameSource(alternative, repository)),
    }),
  };
}
