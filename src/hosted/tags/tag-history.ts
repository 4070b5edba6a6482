/** The moves of a tag as an operator reads them: with what is still there to restore. A pure function of the repository. */
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/name.ts';
import type { HostedRepository, TagMove } from '../log/hosted-log.ts';

export interface DescribedMove extends TagMove {
  /** Of what it points to from then on. `deleted`: it can be restored for a while. */
  readonly content: 'held' | 'deleted' | 'gone';
}

/** The newest first. `now` in milliseconds since the epoch. */
export function describeHistory(
  repository: HostedRepository | undefined,
  tag: Tag,
  { undeleteMs, now }: { readonly undeleteMs: number; readonly now: number },
): readonly DescribedMove[] {
  const restorable = new Set<Digest>();
  for (const { descriptor, deletedAt } of repository?.deletedManifests() ?? [])
    if (now - deletedAt < undeleteMs) restorable.add(descriptor.digest);
  const contentOf = (digest: Digest | undefined): DescribedMove['content'] => {
    if (digest === undefined) return 'gone';
    if (repository?.manifest(digest) !== undefined) return 'held';
    return restorable.has(digest) ? 'deleted' : 'gone';
  };
  return (repository?.history(tag) ?? []).map(move => ({ ...move, content: contentOf(move.to) }));
}
