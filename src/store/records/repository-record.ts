/**
 * What is known of one repository: its linked blobs, its tags with the time of their last check, its manifests, its pins, its visibility.
 * In memory after the first use; a setter takes effect at once and is appended to disk later. A failed write is reported and costs a HEAD
 * after a restart, never a pull.
 */
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import type { Reference, Tag } from '../../oci/name.ts';
import type { RecordEntry, RecordFile, RepositoryVisibility } from './record-file.ts';
import { type PastTag, TagHistory } from './tag-history.ts';

export interface TagEntry {
  readonly descriptor: Descriptor;
  /** When the upstream last confirmed it: milliseconds since the epoch. */
  readonly checkedAt: number;
}

export interface VisibilityEntry {
  readonly verdict: RepositoryVisibility;
  /** When the upstream last said so: milliseconds since the epoch. */
  readonly checkedAt: number;
}

/** Called with each entry as it is set; a tag that was only confirmed may be left out. */
export interface RecordListener {
  /** Called with each new entry. */
  heard(entry: RecordEntry, record: RepositoryRecord): void;
}

/** A tag or a visibility that was only confirmed is written at most this often. */
const confirmEveryMs = 10 * 60_000;
/** Missing tags that are remembered; the one that was set longest ago goes. */
const maxMisses = 4096;

export class RepositoryRecord {
  /** Canonical: `docker.io/library/alpine`. */
  readonly name: string;
  /** When a client last used it, as `Records` knows: milliseconds since the epoch. */
  usedMs = 0;
  readonly #file: RecordFile;
  readonly #tags = new Map<Tag, TagEntry>();
  readonly #writtenAt = new Map<Tag, number>();
  readonly #misses = new Map<Tag, number>();
  readonly #manifests = new Map<Digest, Descriptor>();
  readonly #history = new TagHistory();
  readonly #links = new Set<Digest>();
  readonly #pins = new Set<Reference>();
  readonly #listener: RecordListener | undefined;
  #visibility: VisibilityEntry | undefined;
  #visibilityWrittenAt: number | undefined;

  constructor(name: string, file: RecordFile, entries: Iterable<RecordEntry>, listener?: RecordListener) {
    this.name = name;
    this.#file = file;
    this.#listener = listener;
    for (const entry of entries) this.#apply(entry);
    for (const [tag, { checkedAt }] of this.#tags) this.#writtenAt.set(tag, checkedAt);
    this.#visibilityWrittenAt = this.#visibility?.checkedAt;
  }

  tag(tag: Tag): TagEntry | undefined {
    return this.#tags.get(tag);
  }

  setTag(tag: Tag, entry: TagEntry): void {
    const known = this.#tags.get(tag);
    const written = this.#writtenAt.get(tag);
    this.#tags.set(tag, entry);
    this.#misses.delete(tag);
    this.#history.seen(tag, entry.descriptor.digest, entry.checkedAt);
    const moved = known?.descriptor.digest !== entry.descriptor.digest;
    if (!moved && written !== undefined && entry.checkedAt - written < confirmEveryMs) return;
    this.#writtenAt.set(tag, entry.checkedAt);
    this.#append({ type: 'tag', tag, descriptor: entry.descriptor, checkedAt: entry.checkedAt });
  }

  /** `goneAt`: the upstream has it no longer since then. Without it, only the held one goes, and that is no move. */
  removeTag(tag: Tag, goneAt?: number): void {
    if (!this.#tags.delete(tag)) return;
    if (goneAt !== undefined) this.#history.seen(tag, undefined, goneAt);
    this.#append({ type: 'untag', tag, ...(goneAt !== undefined && { at: goneAt }) });
  }

  /** Where it pointed to and since when, as this mirror saw it; the newest first. */
  history(tag: Tag): readonly PastTag[] {
    return this.#history.of(tag);
  }

  tags(): Iterable<[Tag, TagEntry]> {
    return this.#tags.entries();
  }

  /** When the upstream said that it has no such tag. Undefined: it has not, or has it now. */
  miss(tag: Tag): number | undefined {
    return this.#misses.get(tag);
  }

  /** For tags that belong to what is held (signatures): clients that make up names must not fill the disk. */
  setMiss(tag: Tag, checkedAt: number): void {
    const written = this.#misses.get(tag);
    if (written !== undefined && checkedAt >= written && checkedAt - written < confirmEveryMs) return;
    this.#misses.delete(tag);
    const [oldest] = this.#misses.size >= maxMisses ? this.#misses.keys() : [];
    if (oldest !== undefined) this.#misses.delete(oldest);
    this.#misses.set(tag, checkedAt);
    this.#append({ type: 'miss', tag, checkedAt });
  }

  /** A manifest of that digest is held, a blob is linked, or a tag points to it. */
  knows(digest: Digest): boolean {
    if (this.#manifests.has(digest) || this.#links.has(digest)) return true;
    for (const { descriptor } of this.#tags.values()) if (descriptor.digest === digest) return true;
    return false;
  }

  manifest(digest: Digest): Descriptor | undefined {
    return this.#manifests.get(digest);
  }

  setManifest(descriptor: Descriptor): void {
    if (this.#manifests.get(descriptor.digest)?.mediaType === descriptor.mediaType) return;
    this.#manifests.set(descriptor.digest, descriptor);
    this.#append({ type: 'manifest', descriptor });
  }

  removeManifest(digest: Digest): void {
    if (this.#manifests.delete(digest)) this.#append({ type: 'forget', digest });
  }

  manifests(): Iterable<Descriptor> {
    return this.#manifests.values();
  }

  /** The manifest of a tag or digest. Undefined: not known. */
  named(reference: Reference): Pick<Descriptor, 'digest' | 'mediaType'> | undefined {
    return isDigest(reference) ? this.#manifests.get(reference) : this.#tags.get(reference)?.descriptor;
  }

  isLinked(digest: Digest): boolean {
    return this.#links.has(digest);
  }

  link(digest: Digest): void {
    if (this.#links.has(digest)) return;
    this.#links.add(digest);
    this.#append({ type: 'link', digest });
  }

  unlink(digest: Digest): void {
    if (this.#links.delete(digest)) this.#append({ type: 'unlink', digest });
  }

  links(): Iterable<Digest> {
    return this.#links.values();
  }

  /** A pinned tag means what it points to now; a pinned digest itself. */
  pin(reference: Reference): void {
    if (this.#pins.has(reference)) return;
    this.#pins.add(reference);
    this.#append({ type: 'pin', reference });
  }

  unpin(reference: Reference): void {
    if (this.#pins.delete(reference)) this.#append({ type: 'unpin', reference });
  }

  get pins(): ReadonlySet<Reference> {
    return this.#pins;
  }

  /** Undefined: not checked yet. */
  get visibility(): VisibilityEntry | undefined {
    return this.#visibility;
  }

  setVisibility(entry: VisibilityEntry): void {
    const changed = this.#visibility?.verdict !== entry.verdict;
    const written = this.#visibilityWrittenAt;
    this.#visibility = entry;
    if (!changed && written !== undefined && entry.checkedAt - written < confirmEveryMs) return;
    this.#visibilityWrittenAt = entry.checkedAt;
    this.#append({ type: 'visibility', ...entry });
  }

  /** Resolves when everything set so far is in the file, or its failure is reported. */
  flush(): Promise<void> {
    return this.#file.flush();
  }

  /** As `flush`. Errors: `StoreError` record, when the last write failed. */
  async requireWritten(): Promise<void> {
    await this.#file.flush();
    if (this.#file.failure !== undefined) throw this.#file.failure;
  }

  /** As if it had never been pulled; its file goes. Resolves when that is done, or its failure is reported. */
  clear(): Promise<void> {
    for (const known of [
      this.#tags,
      this.#writtenAt,
      this.#misses,
      this.#manifests,
      this.#history,
      this.#links,
      this.#pins,
    ])
      known.clear();
    this.#visibility = undefined;
    this.#visibilityWrittenAt = undefined;
    this.#file.remove();
    return this.#file.flush();
  }

  #append(entry: RecordEntry): void {
    this.#file.append(entry, () => this.#entries());
    this.#listener?.heard(entry, this);
  }

  /** The shortest list of entries that says the same. */
  *#entries(): Iterable<RecordEntry> {
    if (this.#visibility !== undefined) yield { type: 'visibility', ...this.#visibility };
    for (const reference of this.#pins) yield { type: 'pin', reference };
    for (const digest of this.#links) yield { type: 'link', digest };
    for (const descriptor of this.#manifests.values()) yield { type: 'manifest', descriptor };
    this.#history.forgetOld(tag => this.#tags.has(tag));
    // Before the tags, which say their last move once more.
    for (const [tag, moves] of this.#history.entries()) {
      const [first] = moves;
      const isInTag = moves.length === 1 && first?.at === this.#tags.get(tag)?.checkedAt;
      if (!isInTag) yield { type: 'moves', tag, moves };
    }
    for (const [tag, { descriptor, checkedAt }] of this.#tags)
      yield { type: 'tag', tag, descriptor, checkedAt };
    for (const [tag, checkedAt] of this.#misses) yield { type: 'miss', tag, checkedAt };
  }

  #apply(entry: RecordEntry): void {
    if (entry.type === 'tag') {
      this.#tags.set(entry.tag, { descriptor: entry.descriptor, checkedAt: entry.checkedAt });
      this.#misses.delete(entry.tag);
      this.#history.seen(entry.tag, entry.descriptor.digest, entry.checkedAt);
    } else if (entry.type === 'moves') this.#history.remember(entry.tag, entry.moves);
    else if (entry.type === 'miss') this.#misses.set(entry.tag, entry.checkedAt);
    else if (entry.type === 'untag') {
      this.#tags.delete(entry.tag);
      if (entry.at !== undefined) this.#history.seen(entry.tag, undefined, entry.at);
    } else if (entry.type === 'manifest') this.#manifests.set(entry.descriptor.digest, entry.descriptor);
    else if (entry.type === 'forget') this.#manifests.delete(entry.digest);
    else if (entry.type === 'link') this.#links.add(entry.digest);
    else if (entry.type === 'unlink') this.#links.delete(entry.digest);
    else if (entry.type === 'visibility')
      this.#visibility = { verdict: entry.verdict, checkedAt: entry.checkedAt };
    else if (entry.type === 'pin') this.#pins.add(entry.reference);
    else this.#pins.delete(entry.reference);
  }
}
