/**
 * What a collection keeps of a hosted repository and what it drops, each with the rule that decided (docs/registry.md, "Collection").
 * Pure: the repository as it is in memory, the time and the policy say it all. Large repositories are decided in steps.
 */
import type { Digest } from '../../oci/digest.ts';
import type { HostedManifest, HostedRepository } from '../log/hosted-log.ts';

/** Milliseconds. */
export interface CollectionPolicy {
  /** What was pushed or linked is kept so long, whatever names it. */
  readonly graceMs: number;
  /** What was deleted is kept so long. */
  readonly undeleteMs: number;
  /** What lost its tags to another manifest, or never had one, is kept so long after its last use. 0: for ever. */
  readonly untaggedTtlMs: number;
}

export type Kept = 'tag' | 'index' | 'referrer' | 'pushed' | 'deleted' | 'untagged';

export type DropReason =
  /** Deleted by digest, or its last tag was, longer ago than `undelete`. */
  | 'deleted'
  /** It belonged to what was deleted. */
  | 'of a deleted image'
  /** Not tagged, and not used within `untagged_ttl`. */
  | 'untagged';

export interface Collection {
  /** Alive manifests, deleted ones that can be restored among them. */
  readonly kept: ReadonlyMap<Digest, Kept>;
  /** Manifests that go, with their links. */
  readonly manifests: ReadonlyMap<Digest, DropReason>;
  /** Links of blobs that no alive manifest needs. */
  readonly links: ReadonlySet<Digest>;
}

/** So many entries take less than a millisecond. */
const entriesPerStep = 500;

/** Decides in one turn. `now` in milliseconds since the epoch. */
export function decideCollection(
  repository: HostedRepository,
  now: number,
  policy: CollectionPolicy,
): Collection {
  const steps = collectionSteps(repository, now, policy);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** As `decideCollection`, with a pause after each step. It is worth nothing when the repository has changed in between. */
export function* collectionSteps(
  repository: HostedRepository,
  now: number,
  policy: CollectionPolicy,
): Generator<void, Collection> {
  const marking = new Marking(repository, now, policy);
  yield* marking.readTags();
  yield* marking.readManifests();
  yield* marking.mark();
  return yield* marking.sweep();
}

interface Entry {
  readonly manifest: HostedManifest;
  /** Deleted by its digest then. */
  readonly deletedAt?: number;
}

/** How a manifest lost a tag for the last time. */
interface Untagging {
  readonly at: number;
  /** The tag was deleted; else it moved to another manifest. */
  readonly isDelete: boolean;
}

class Marking {
  readonly #repository: HostedRepository;
  readonly #now: number;
  readonly #policy: CollectionPolicy;
  readonly #entries = new Map<Digest, Entry>();
  readonly #untaggings = new Map<Digest, Untagging>();
  readonly #roots = new Map<Digest, Kept>();
  /** Never tagged: they go with the deleted image that they belong to, and else count as roots. */
  readonly #looseRoots = new Set<Digest>();
  readonly #deleted = new Set<Digest>();
  readonly #ofDeleted = new Set<Digest>();
  readonly #alive = new Map<Digest, Kept>();
  readonly #needed = new Set<Digest>();
  #count = 0;

  constructor(repository: HostedRepository, now: number, policy: CollectionPolicy) {
    this.#repository = repository;
    this.#now = now;
    this.#policy = policy;
  }

  *readTags(): Generator<void, void> {
    for (const tag of this.#repository.tagsWithHistory()) {
      for (const { from, to, at } of this.#repository.history(tag)) {
        if (from !== undefined) this.#untagged(from, { at, isDelete: to === undefined });
        if (this.#countEntry()) yield;
      }
    }
  }

  *readManifests(): Generator<void, void> {
    for (const manifest of this.#repository.manifests()) {
      this.#entries.set(manifest.descriptor.digest, { manifest });
      this.#classify({ manifest });
      if (this.#countEntry()) yield;
    }
    for (const { deletedAt, ...manifest } of this.#repository.deletedManifests()) {
      this.#entries.set(manifest.descriptor.digest, { manifest, deletedAt });
      this.#classify({ manifest, deletedAt });
      if (this.#countEntry()) yield;
    }
  }

  *mark(): Generator<void, void> {
    yield* this.#spread(this.#roots);
    yield* this.#findBelongings();
    const loose = new Map<Digest, Kept>();
    for (const digest of this.#looseRoots) if (!this.#ofDeleted.has(digest)) loose.set(digest, 'untagged');
    yield* this.#spread(loose);
  }

  *sweep(): Generator<void, Collection> {
    const manifests = new Map<Digest, DropReason>();
    const links = new Set<Digest>();
    for (const digest of this.#entries.keys()) {
      if (!this.#alive.has(digest)) manifests.set(digest, this.#whyDead(digest));
      if (this.#countEntry()) yield;
    }
    for (const { digest, at } of this.#repository.links()) {
      const isNeeded = this.#entries.has(digest) || this.#needed.has(digest);
      if (!isNeeded && !this.#isYoung(at)) links.add(digest);
      if (this.#countEntry()) yield;
    }
    return { kept: this.#alive, manifests, links };
  }

  /** The last one counts; of two at the same time the one that keeps longer. */
  #untagged(digest: Digest, untagging: Untagging): void {
    const known = this.#untaggings.get(digest);
    const isLater = known === undefined || untagging.at > known.at;
    if (isLater || (untagging.at === known.at && !untagging.isDelete))
      this.#untaggings.set(digest, untagging);
  }

  #classify({ manifest, deletedAt }: Entry): void {
    const { undeleteMs, untaggedTtlMs } = this.#policy;
    const { digest } = manifest.descriptor;
    const linkedAt = this.#repository.link(digest)?.at ?? 0;
    const untagging = this.#untaggings.get(digest);
    // A push after that is a new life.
    const lost = untagging !== undefined && untagging.at >= manifest.at ? untagging : undefined;
    const removedAt = deletedAt ?? (lost?.isDelete === true ? lost.at : undefined);
    if (deletedAt === undefined && this.#repository.tagsOf(digest).length > 0) this.#roots.set(digest, 'tag');
    else if (this.#isYoung(Math.max(manifest.at, linkedAt))) this.#roots.set(digest, 'pushed');
    else if (removedAt !== undefined) {
      if (this.#now - removedAt < undeleteMs) this.#roots.set(digest, 'deleted');
      else this.#deleted.add(digest);
    } else {
      const usedAt = Math.max(manifest.at, manifest.pulledAt ?? 0, lost?.at ?? 0);
      if (untaggedTtlMs > 0 && this.#now - usedAt >= untaggedTtlMs) return;
      if (lost === undefined) this.#looseRoots.add(digest);
      else this.#roots.set(digest, 'untagged');
    }
  }

  #isYoung(at: number): boolean {
    return this.#now - at < this.#policy.graceMs;
  }

  /** Manifests that alive ones name, deleted or not, and referrers of alive ones that are not deleted. */
  *#spread(roots: ReadonlyMap<Digest, Kept>): Generator<void, void> {
    const queue: Digest[] = [];
    const revive = (digest: Digest, why: Kept): void => {
      if (this.#alive.has(digest) || !this.#entries.has(digest)) return;
      this.#alive.set(digest, why);
      queue.push(digest);
    };
    for (const [digest, why] of roots) revive(digest, why);
    for (let digest = queue.pop(); digest !== undefined; digest = queue.pop()) {
      for (const name of this.#entries.get(digest)?.manifest.names ?? []) {
        this.#needed.add(name);
        revive(name, 'index');
        if (this.#countEntry()) yield;
      }
      for (const { descriptor } of this.#repository.referrers(digest)) {
        revive(descriptor.digest, 'referrer');
        if (this.#countEntry()) yield;
      }
    }
  }

  /** Children and referrers of what was deleted, as far as nothing alive keeps them. */
  *#findBelongings(): Generator<void, void> {
    const queue = Array.from(this.#deleted).filter(digest => !this.#alive.has(digest));
    const visit = (digest: Digest): void => {
      if (this.#alive.has(digest) || this.#ofDeleted.has(digest) || !this.#entries.has(digest)) return;
      this.#ofDeleted.add(digest);
      queue.push(digest);
    };
    for (let digest = queue.pop(); digest !== undefined; digest = queue.pop()) {
      for (const name of this.#entries.get(digest)?.manifest.names ?? []) visit(name);
      for (const { descriptor } of this.#repository.referrers(digest)) visit(descriptor.digest);
      if (this.#countEntry()) yield;
    }
  }

  #whyDead(digest: Digest): DropReason {
    if (this.#deleted.has(digest)) return 'deleted';
    return this.#looseRoots.has(digest) ? 'of a deleted image' : 'untagged';
  }

  /** Counts an entry. True: it is time for a pause. */
  #countEntry(): boolean {
    this.#count += 1;
    return this.#count % entriesPerStep === 0;
  }
}
