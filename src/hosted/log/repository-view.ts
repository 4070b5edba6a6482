/**
 * A hosted repository as others read it. It always shows the newest state, and keeps the generation of the moment when it was made: a
 * commit that was decided over an older one is refused, whatever was read in between.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Repository, Tag } from '../../oci/name.ts';
import type { HostedLink, HostedManifest, HostedRepository, TagMove } from './hosted-log.ts';
import type { DeletedManifest, RepositoryState } from './repository-state.ts';

export class RepositoryView implements HostedRepository {
  readonly name: Repository;
  readonly generation: number;
  readonly #state: RepositoryState;

  constructor(name: Repository, state: RepositoryState) {
    this.name = name;
    this.generation = state.generation;
    this.#state = state;
  }

  manifest(digest: Digest): HostedManifest | undefined {
    return this.#state.manifests.get(digest);
  }

  manifests(): Iterable<HostedManifest> {
    return this.#state.manifests.values();
  }

  deletedManifests(): Iterable<DeletedManifest> {
    return this.#state.deleted.values();
  }

  link(digest: Digest): HostedLink | undefined {
    return this.#state.links.get(digest);
  }

  links(): Iterable<HostedLink> {
    return this.#state.links.values();
  }

  tag(tag: Tag): TagMove | undefined {
    const last = this.#state.moves.get(tag)?.at(-1);
    return last?.to === undefined ? undefined : last;
  }

  tags(): readonly Tag[] {
    return this.#state.tags;
  }

  tagsOf(digest: Digest): readonly Tag[] {
    return [...this.#state.tagsOf(digest)];
  }

  referrers(subject: Digest): readonly HostedManifest[] {
    return this.#manifestsOf(this.#state.withSubject(subject));
  }

  namedBy(digest: Digest): readonly HostedManifest[] {
    return this.#manifestsOf(this.#state.naming(digest));
  }

  history(tag: Tag): readonly TagMove[] {
    return this.#state.moves.get(tag)?.toReversed() ?? [];
  }

  tagsWithHistory(): Iterable<Tag> {
    return this.#state.moves.keys();
  }

  #manifestsOf(digests: Iterable<Digest>): HostedManifest[] {
    const found: HostedManifest[] = [];
    for (const digest of digests) {
      const manifest = this.#state.manifests.get(digest);
      if (manifest !== undefined) found.push(manifest);
    }
    return found;
  }
}
