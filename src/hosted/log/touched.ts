/**
 * What a commit depends on, and what commits change of it: two that have nothing in common may be decided over the same state, so that they
 * share a sync. What is added twice, or was there before, changes nothing that another one could have been decided by.
 */
import type { DecidedBy, HostedChange, HostedRepository } from './hosted-log.ts';

/** Tags and digests: they have no text in common. */
export class Touched {
  readonly #keys: ReadonlySet<string> | 'all';

  private constructor(keys: ReadonlySet<string> | 'all') {
    this.#keys = keys;
  }

  /** `repository`: before these changes, and before others that wait to be written; those are compared by themselves. */
  static by(changes: readonly HostedChange[], repository: HostedRepository): Touched {
    const keys = new Set<string>();
    for (const change of changes) {
      switch (change.type) {
        case 'delete-manifest': // its tags go too
          return new Touched('all');
        case 'manifest': {
          const { digest, size } = change.descriptor;
          for (const tag of change.tags) keys.add(tag);
          const isThere = repository.manifest(digest) !== undefined && repository.link(digest)?.size === size;
          if (!isThere) keys.add(digest);
          break;
        }
        case 'link':
          if (repository.link(change.digest)?.size !== change.size) keys.add(change.digest);
          break;
        case 'unlink':
        case 'undelete-manifest':
        case 'drop-manifest':
          keys.add(change.digest);
          break;
        case 'tag':
        case 'untag':
          keys.add(change.tag);
          break;
        case 'pulled':
          break;
      }
    }
    return new Touched(keys);
  }

  concerns({ tags, digests }: DecidedBy): boolean {
    const keys = this.#keys;
    if (keys === 'all') return true;
    return tags.some(tag => keys.has(tag)) || digests.some(digest => keys.has(digest));
  }
}
