/** Which manifest a restore means, by the history of a tag. Pure functions of the repository. */
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Tag } from '../../oci/name.ts';
import type { HostedRepository } from '../log/hosted-log.ts';

/** `tag`, `digest` or both are there. */
export interface RestoreWanted {
  /** Undefined: the manifest alone, and the tags that went with it. */
  readonly tag?: Tag;
  /** Undefined: by the history of the tag. */
  readonly digest?: Digest;
  /** What the tag pointed to then, in milliseconds since the epoch. Undefined: before its last move. */
  readonly at?: number;
}

/** Errors: MANIFEST_UNKNOWN. */
export function restoredDigest(repository: HostedRepository, { tag, digest, at }: RestoreWanted): Digest {
  if (digest !== undefined) return digest;
  if (tag === undefined) throw unknown(`no tag and no digest of ${repository.name} is given`);
  const image = `${repository.name}:${tag}`;
  const history = repository.history(tag);
  const [last] = history;
  if (last === undefined) throw unknown(`${image} never existed, as far as its history is kept`);
  if (at === undefined) {
    if (last.from !== undefined) return last.from;
    throw unknown(`${image} has only ever pointed to ${last.to}`);
  }
  const then = history.find(move => move.at <= at);
  if (then?.to !== undefined) return then.to;
  const since = then === undefined ? ', as far as its history is kept' : '';
  throw unknown(`${image} did not exist at ${new Date(at).toISOString()}${since}`);
}

/** Tags that don't exist now, and whose last move is that the manifest was deleted. */
export function tagsLostWith(repository: HostedRepository, digest: Digest): readonly Tag[] {
  const deletedAt = deletionOf(repository, digest);
  if (deletedAt === undefined) return [];
  const lost: Tag[] = [];
  for (const tag of repository.tagsWithHistory()) {
    const [last] = repository.history(tag);
    const wentWithIt = last?.to === undefined && last?.from === digest && last.at === deletedAt;
    if (wentWithIt) lost.push(tag);
  }
  return lost;
}

function deletionOf(repository: HostedRepository, digest: Digest): number | undefined {
  for (const { descriptor, deletedAt } of repository.deletedManifests())
    if (descriptor.digest === digest) return deletedAt;
  return undefined;
}

function unknown(message: string): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', { message });
}
