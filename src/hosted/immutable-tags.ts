/** `hosted.immutable`: tags that, once they are there, neither move nor go. The same digest again is no move. */

import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { allowRepositories, type Repository, type Tag } from '../oci/name.ts';
import type { HostedRepository } from './log/hosted-log.ts';

export class ImmutableTags {
  readonly #matches: (name: string) => boolean;

  /** Patterns over `REPOSITORY:TAG`, such as `team/**:v*`. None: every tag may move. */
  constructor(patterns: readonly string[]) {
    this.#matches = patterns.length === 0 ? () => false : allowRepositories(patterns, []);
  }

  isImmutable(name: Repository, tag: Tag): boolean {
    return this.#matches(`${name}:${tag}`);
  }

  /** Before a tag is put on a manifest. Errors: DENIED (409) for one that is there and points to another. */
  requireMovable(repository: HostedRepository | undefined, tag: Tag, to: Digest): void {
    const now = repository?.tag(tag)?.to;
    if (repository !== undefined && now !== undefined && now !== to)
      this.requireMutable(repository.name, tag);
  }

  /** Of a tag that is there. Errors: DENIED (409). */
  requireMutable(name: Repository, tag: Tag): void {
    if (!this.isImmutable(name, tag)) return;
    throw new RegistryError('DENIED', {
      status: 409,
      message: `${name}:${tag} is immutable (hosted.immutable); push under another tag`,
    });
  }
}
