/** A `HostedLog` in memory: what a test of a hosted use case stands on where the files of a log don't matter. */

import {
  GenerationConflict,
  type HostedChange,
  type HostedLink,
  type HostedLog,
  type HostedManifest,
  type HostedRepository,
  type TagMove,
  type Turn,
} from '../../src/hosted/log/hosted-log.ts';
import type { Digest } from '../../src/oci/digest.ts';
import type { Repository, Tag } from '../../src/oci/name.ts';

export class MemoryHostedLog implements HostedLog {
  readonly isComplete = true;
  readonly #repositories = new Map<Repository, MemoryHostedRepository>();
  /** Every commit, in order. */
  readonly commits: { readonly name: Repository; readonly changes: readonly HostedChange[] }[] = [];
  /** Called before a commit is decided; a test may hold or refuse it. */
  beforeCommit: (name: Repository) => Promise<void> = async () => {};

  names(): readonly Repository[] {
    return [...this.#repositories.keys()].sort();
  }

  async readRepository(name: Repository): Promise<HostedRepository | undefined> {
    return this.#repositories.get(name);
  }

  peek(name: Repository): HostedRepository | undefined {
    return this.#repositories.get(name);
  }

  async commit(
    name: Repository,
    changes: readonly HostedChange[],
    expectedGeneration?: number,
  ): Promise<HostedRepository> {
    await this.beforeCommit(name);
    const repository = this.#repositories.get(name) ?? new MemoryHostedRepository(name);
    if (expectedGeneration !== undefined && expectedGeneration !== repository.generation)
      throw new GenerationConflict(name);
    this.#repositories.set(name, repository);
    this.commits.push({ name, changes });
    repository.apply(changes);
    return repository;
  }

  async takeTurn(): Promise<Turn> {
    return { giveBack: () => {} };
  }

  closed(): ReadonlyMap<Repository, string> {
    return new Map();
  }
}

class MemoryHostedRepository implements HostedRepository {
  readonly name: Repository;
  generation = 0;
  readonly #manifests = new Map<Digest, HostedManifest>();
  readonly #deleted = new Map<Digest, HostedManifest & { readonly deletedAt: number }>();
  readonly #links = new Map<Digest, HostedLink>();
  readonly #moves = new Map<Tag, TagMove[]>();

  constructor(name: Repository) {
    this.name = name;
  }

  manifest(digest: Digest) {
    return this.#manifests.get(digest);
  }

  manifests() {
    return this.#manifests.values();
  }

  deletedManifests() {
    return this.#deleted.values();
  }

  link(digest: Digest) {
    return this.#links.get(digest);
  }

  links() {
    return this.#links.values();
  }

  tag(tag: Tag) {
    const last = this.#moves.get(tag)?.[0];
    return last?.to === undefined ? undefined : last;
  }

  tags() {
    return [...this.#moves.keys()].filter(tag => this.tag(tag) !== undefined).sort();
  }

  tagsOf(digest: Digest) {
    return this.tags().filter(tag => this.tag(tag)?.to === digest);
  }

  referrers(subject: Digest) {
    return [...this.#manifests.values()].filter(manifest => manifest.subject === subject);
  }

  namedBy(digest: Digest) {
    return [...this.#manifests.values()].filter(({ names }) => names.includes(digest));
  }

  history(tag: Tag) {
    return this.#moves.get(tag) ?? [];
  }

  tagsWithHistory() {
    return this.#moves.keys();
  }

  apply(changes: readonly HostedChange[]): void {
    if (changes.some(({ type }) => type !== 'pulled')) this.generation += 1;
    for (const change of changes) this.#apply(change);
  }

  #apply(change: HostedChange): void {
    switch (change.type) {
      case 'link': {
        const { type: _type, ...link } = change;
        this.#links.set(change.digest, link);
        return;
      }
      case 'unlink':
        this.#links.delete(change.digest);
        return;
      case 'manifest': {
        const { type: _type, tags, ...manifest } = change;
        const { digest, size } = manifest.descriptor;
        this.#manifests.set(digest, manifest);
        this.#deleted.delete(digest);
        this.#links.set(digest, { digest, size, at: change.at, how: change.how });
        for (const tag of tags) this.#move(tag, digest, change);
        return;
      }
      case 'tag':
        this.#move(change.tag, change.digest, change);
        return;
      case 'untag':
        this.#move(change.tag, undefined, change);
        return;
      case 'delete-manifest': {
        const manifest = this.#manifests.get(change.digest);
        if (manifest === undefined) return;
        for (const tag of this.tagsOf(change.digest)) this.#move(tag, undefined, change);
        this.#manifests.delete(change.digest);
        this.#deleted.set(change.digest, { ...manifest, deletedAt: change.at });
        return;
      }
      case 'undelete-manifest': {
        const manifest = this.#deleted.get(change.digest);
        if (manifest !== undefined) this.#manifests.set(change.digest, manifest);
        this.#deleted.delete(change.digest);
        return;
      }
      case 'drop-manifest':
        this.#manifests.delete(change.digest);
        this.#deleted.delete(change.digest);
        this.#links.delete(change.digest);
        return;
      case 'pulled': {
        const manifest = this.#manifests.get(change.digest);
        if (manifest !== undefined) this.#manifests.set(change.digest, { ...manifest, pulledAt: change.at });
      }
    }
  }

  #move(tag: Tag, to: Digest | undefined, { at, user, how }: Pick<TagMove, 'at' | 'user' | 'how'>): void {
    const from = this.tag(tag)?.to;
    if (from === to) return;
    const move = { tag, at, how, ...(user && { user }), ...(from && { from }), ...(to && { to }) };
    this.#moves.set(tag, [move, ...(this.#moves.get(tag) ?? [])]);
  }
}
