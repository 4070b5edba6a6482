/**
 * A hosted repository as its log says it is: pure data that changes with each commit. The same changes in the same order give the same
 * state, and `toChanges` gives a shorter list that does so too.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/name.ts';
import { dropOldMoves, keptMovesMs } from '../../store/records/tag-history.ts';
import type { Cause, HostedLink, HostedManifest, TagMove } from './hosted-log.ts';
import type { LoggedChange } from './log-line.ts';

export interface DeletedManifest extends HostedManifest {
  readonly deletedAt: number;
}

/** Told what the repository links from now on and no longer, in the turn of the change. */
export interface LinkEvents {
  linked(digest: Digest, size: number): void;
  unlinked(digest: Digest): void;
  /** So many more tags exist, or fewer. */
  tagsChanged?(by: number): void;
}

export class RepositoryState {
  #events: LinkEvents | undefined;
  readonly #manifests = new Map<Digest, HostedManifest>();
  readonly #deleted = new Map<Digest, DeletedManifest>();
  readonly #links = new Map<Digest, HostedLink>();
  /** The oldest first; never empty. The last one says whether the tag exists. */
  readonly #moves = new Map<Tag, TagMove[]>();
  readonly #tagsByDigest = new Map<Digest, Set<Tag>>();
  readonly #bySubject = new Map<Digest, Set<Digest>>();
  readonly #byName = new Map<Digest, Set<Digest>>();
  #tags: readonly Tag[] | undefined = [];
  #generation = 0;

  /** After the log has been read: what is linked now is told, and each change from then on. */
  listen(events: LinkEvents): void {
    this.#events = events;
    for (const { digest, size } of this.#links.values()) events.linked(digest, size);
    events.tagsChanged?.(this.tags.length);
  }

  /** Grows at each commit that changes more than when something was pulled. */
  get generation(): number {
    return this.#generation;
  }

  get manifests(): ReadonlyMap<Digest, HostedManifest> {
    return this.#manifests;
  }

  get deleted(): ReadonlyMap<Digest, DeletedManifest> {
    return this.#deleted;
  }

  get links(): ReadonlyMap<Digest, HostedLink> {
    return this.#links;
  }

  /** The oldest first. */
  get moves(): ReadonlyMap<Tag, readonly TagMove[]> {
    return this.#moves;
  }

  /** It has a manifest or a link. */
  get isThere(): boolean {
    return this.#links.size > 0 || this.#manifests.size > 0;
  }

  /** Those that exist, sorted as bytes. */
  get tags(): readonly Tag[] {
    if (this.#tags === undefined) {
      const tags: Tag[] = [];
      for (const [tag, moves] of this.#moves) if (moves.at(-1)?.to !== undefined) tags.push(tag);
      this.#tags = tags.sort();
    }
    return this.#tags;
  }

  tagsOf(digest: Digest): Iterable<Tag> {
    return this.#tagsByDigest.get(digest) ?? [];
  }

  /** Manifests that have that subject. */
  withSubject(subject: Digest): Iterable<Digest> {
    return this.#bySubject.get(subject) ?? [];
  }

  /** Manifests that name that digest. */
  naming(digest: Digest): Iterable<Digest> {
    return this.#byName.get(digest) ?? [];
  }

  /** The changes of one commit. */
  apply(changes: readonly LoggedChange[]): void {
    for (const change of changes) this.#apply(change);
    if (changes.some(countsAsCommit)) this.#generation += 1;
  }

  /** Forgets tags that have not existed for longer than moves are kept. `now` in milliseconds since the epoch. */
  forgetOldTags(now: number): void {
    for (const [tag, moves] of this.#moves) {
      const last = moves.at(-1);
      if (last?.to === undefined && (last?.at ?? 0) < now - keptMovesMs) this.#moves.delete(tag);
    }
  }

  /** All that the state says, each once. The generation isn't part of it. */
  *toChanges(): Iterable<LoggedChange> {
    for (const manifest of this.#manifests.values()) yield { type: 'manifest', tags: [], ...manifest };
    for (const { deletedAt, ...manifest } of this.#deleted.values()) {
      yield { type: 'manifest', tags: [], ...manifest };
      const { digest } = manifest.descriptor;
      yield { type: 'delete-manifest', digest, at: deletedAt, how: 'delete' };
    }
    // After the manifests, whose own links they replace.
    for (const link of this.#links.values()) yield { type: 'link', ...link };
    for (const { descriptor } of [...this.#manifests.values(), ...this.#deleted.values()]) {
      const { digest } = descriptor;
      if (!this.#links.has(digest)) yield { type: 'unlink', digest, at: 0, how: 'collect' };
    }
    for (const [tag, moves] of this.#moves) yield { type: 'moves', tag, moves };
  }

  #apply(change: LoggedChange): void {
    const { type } = change;
    if (type === 'link') {
      const { type: _, ...link } = change;
      this.#link(link);
    } else if (type === 'manifest') {
      const { type: _, tags, ...manifest } = change;
      this.#push(manifest, tags);
    } else if (type === 'tag') this.#move(change.tag, change.digest, causeOf(change));
    else if (type === 'untag') this.#move(change.tag, undefined, causeOf(change));
    else if (type === 'unlink') this.#unlink(change.digest);
    else if (type === 'delete-manifest') this.#delete(change.digest, causeOf(change));
    else if (type === 'undelete-manifest') this.#undelete(change.digest);
    else if (type === 'moves') this.#remember(change.tag, [...change.moves]);
    else if (type === 'pulled') this.#pulled(change.digest, change.at);
    else {
      this.#delete(change.digest, causeOf(change));
      this.#deleted.delete(change.digest);
      this.#unlink(change.digest);
    }
  }

  #link(link: HostedLink): void {
    const known = this.#links.get(link.digest);
    this.#links.set(link.digest, link);
    if (known === undefined) this.#events?.linked(link.digest, link.size);
  }

  #unlink(digest: Digest): void {
    if (!this.#links.delete(digest)) return;
    this.#events?.unlinked(digest);
  }

  #push(manifest: HostedManifest, tags: readonly Tag[]): void {
    const { digest, size } = manifest.descriptor;
    const cause = causeOf(manifest);
    const pulledAt = laterOf(
      manifest.pulledAt,
      (this.#manifests.get(digest) ?? this.#deleted.get(digest))?.pulledAt,
    );
    this.#remove(digest);
    this.#deleted.delete(digest);
    this.#add(pulledAt === undefined ? manifest : { ...manifest, pulledAt });
    this.#link({ digest, size, ...cause });
    for (const tag of tags) this.#move(tag, digest, cause);
  }

  #delete(digest: Digest, cause: Cause): void {
    const manifest = this.#manifests.get(digest);
    for (const tag of [...this.tagsOf(digest)]) this.#move(tag, undefined, cause);
    if (manifest === undefined) return;
    this.#remove(digest);
    this.#deleted.set(digest, { ...manifest, deletedAt: cause.at });
  }

  #undelete(digest: Digest): void {
    const found = this.#deleted.get(digest);
    if (found === undefined) return;
    const { deletedAt: _, ...manifest } = found;
    this.#deleted.delete(digest);
    this.#add(manifest);
  }

  #pulled(digest: Digest, at: number): void {
    const manifest = this.#manifests.get(digest);
    if (manifest !== undefined && at > (manifest.pulledAt ?? 0))
      this.#manifests.set(digest, { ...manifest, pulledAt: at });
  }

  #add(manifest: HostedManifest): void {
    const { descriptor, subject, names } = manifest;
    this.#manifests.set(descriptor.digest, manifest);
    if (subject !== undefined) addTo(this.#bySubject, subject, descriptor.digest);
    for (const name of names) addTo(this.#byName, name, descriptor.digest);
  }

  #remove(digest: Digest): void {
    const manifest = this.#manifests.get(digest);
    if (manifest === undefined) return;
    this.#manifests.delete(digest);
    if (manifest.subject !== undefined) removeFrom(this.#bySubject, manifest.subject, digest);
    for (const name of manifest.names) removeFrom(this.#byName, name, digest);
  }

  #move(tag: Tag, to: Digest | undefined, cause: Cause): void {
    const moves = this.#moves.get(tag) ?? [];
    const from = moves.at(-1)?.to;
    if (from === to) return;
    moves.push({ tag, ...(from !== undefined && { from }), ...(to !== undefined && { to }), ...cause });
    dropOldMoves(moves);
    this.#moves.set(tag, moves);
    this.#pointed(tag, from, to);
  }

  #remember(tag: Tag, moves: TagMove[]): void {
    const from = this.#moves.get(tag)?.at(-1)?.to;
    if (moves.length === 0) this.#moves.delete(tag);
    else this.#moves.set(tag, moves);
    this.#pointed(tag, from, moves.at(-1)?.to);
  }

  #pointed(tag: Tag, from: Digest | undefined, to: Digest | undefined): void {
    if (from === to) return;
    if (from !== undefined) removeFrom(this.#tagsByDigest, from, tag);
    if (to !== undefined) addTo(this.#tagsByDigest, to, tag);
    if (from !== undefined && to !== undefined) return;
    this.#tags = undefined;
    this.#events?.tagsChanged?.(to === undefined ? -1 : 1);
  }
}

/** False: it only says when something was pulled. */
export function countsAsCommit({ type }: LoggedChange): boolean {
  return type !== 'pulled';
}

function causeOf({ at, user, how }: Cause): Cause {
  return { at, ...(user !== undefined && { user }), how };
}

function laterOf(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.max(a, b);
}

function addTo<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else set.add(value);
}

function removeFrom<K, V>(sets: Map<K, Set<V>>, key: K, value: V): void {
  const set = sets.get(key);
  set?.delete(value);
  if (set?.size === 0) sets.delete(key);
}
