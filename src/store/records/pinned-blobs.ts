/**
 * The digests that must not be evicted because a record pins an image: manifests, configs and layers. A copy in memory of what the records
 * say, filled after the start and updated with each entry. A pinned tag means the image that it points to now. Children of a pinned index
 * that come later are pinned too, whichever repository brings them. An image that can't be read for now stays pinned as it was.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { ifReadable } from '../store-error.ts';
import { readImageTree, readManifest } from './image-tree.ts';
import type { RecordEntry } from './record-file.ts';
import type { RepositoryRecord } from './repository-record.ts';

export interface PinnedBlobsOptions {
  readonly store: Pick<BlobStore, 'open' | 'sizeOf'>;
  readonly logger: Logger;
  /** Called after each change of the set, for a copy of it. */
  readonly onChange?: (added: readonly Digest[], removed: readonly Digest[]) => void;
}

/** What one repository pins. */
interface Share {
  readonly record: RepositoryRecord;
  readonly digests: ReadonlySet<Digest>;
  /** Those of them that are configs and layers. */
  readonly blobs: ReadonlySet<Digest>;
  /** Pinned manifests that aren't held yet. */
  readonly awaited: ReadonlySet<Digest>;
}

export class PinnedBlobs {
  readonly #options: PinnedBlobsOptions;
  /** By the repository's name. */
  readonly #shares = new Map<string, Share>();
  /** How many repositories pin it. */
  readonly #counts = new Map<Digest, number>();
  /** Bytes of configs and layers that are pinned and held. */
  readonly #sizes = new Map<Digest, number>();
  readonly #changed = new Map<string, RepositoryRecord>();
  #bytes = 0;
  #working: Promise<void> | undefined;
  #isLoaded = false;

  constructor(options: PinnedBlobsOptions) {
    this.#options = options;
  }

  /** Of configs and layers that are pinned and held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Manifests, configs and layers; held or not. */
  get digests(): Iterable<Digest> {
    return this.#counts.keys();
  }

  /** Before `loaded` everything counts as pinned. Never throws. */
  isPinned(digest: Digest): boolean | Promise<boolean> {
    if (!this.#isLoaded) return true;
    if (this.#working === undefined) return this.#counts.has(digest);
    return this.settled().then(() => this.#counts.has(digest));
  }

  /** For each record of the store once, after the start. Never throws. */
  async load(record: RepositoryRecord): Promise<void> {
    if (record.pins.size === 0) return;
    this.#mark(record);
    await this.settled();
  }

  /** All records were given to `load`. */
  loaded(): void {
    this.#isLoaded = true;
  }

  heard(entry: RecordEntry, record: RepositoryRecord): void {
    if (entry.type === 'pin' || entry.type === 'unpin') this.#mark(record);
    else if (entry.type === 'tag' || entry.type === 'untag') {
      if (record.pins.has(entry.tag)) this.#mark(record);
    } else if (entry.type === 'manifest') {
      for (const share of this.#shares.values())
        if (share.awaited.has(entry.descriptor.digest)) this.#mark(share.record);
    }
  }

  /** A blob has been stored: its bytes count if it is pinned. */
  held(digest: Digest, size: number): void {
    if (!this.#counts.has(digest)) return;
    this.#bytes += size - (this.#sizes.get(digest) ?? 0);
    this.#sizes.set(digest, size);
  }

  /** Resolves when the set agrees with all entries so far. */
  async settled(): Promise<void> {
    while (this.#working !== undefined) await this.#working;
  }

  #mark(record: RepositoryRecord): void {
    this.#changed.set(record.name, record);
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  async #work(): Promise<void> {
    for (let [next] = this.#changed.values(); next !== undefined; [next] = this.#changed.values()) {
      this.#changed.delete(next.name);
      try {
        await this.#replace(next.name, await this.#shareOf(next));
      } catch (error) {
        this.#options.logger.warn('pins could not be read', { repository: next.name, error });
      }
    }
  }

  async #shareOf(record: RepositoryRecord): Promise<Share> {
    const { store } = this.#options;
    const [digests, blobs, awaited] = [new Set<Digest>(), new Set<Digest>(), new Set<Digest>()];
    let before: Share | undefined;
    for (const reference of record.pins) {
      const root = record.named(reference);
      if (root === undefined) continue;
      const tree = await readImageTree(manifest => readManifest(store, manifest), root);
      if (tree === undefined) before ??= this.#shares.get(record.name); // gone or damaged: its former digests stay
      for (const digest of tree?.manifests.keys() ?? []) digests.add(digest);
      for (const digest of tree?.blobs.keys() ?? []) blobs.add(digest);
      for (const digest of tree?.missing ?? [root.digest]) awaited.add(digest);
    }
    for (const digest of before?.blobs ?? []) blobs.add(digest);
    for (const digest of [...(before?.digests ?? []), ...blobs]) digests.add(digest);
    return { record, digests, blobs, awaited };
  }

  async #replace(name: string, share: Share): Promise<void> {
    const before = this.#shares.get(name)?.digests ?? new Set<Digest>();
    // not by the record's pins: they may have changed since the share was read, and it has to be taken back then
    if (share.digests.size + share.awaited.size === 0) this.#shares.delete(name);
    else this.#shares.set(name, share);
    const added = [...share.digests].filter(digest => !before.has(digest) && this.#count(digest, 1) === 1);
    const removed = [...before].filter(digest => !share.digests.has(digest) && this.#count(digest, -1) === 0);
    for (const digest of removed) {
      this.#bytes -= this.#sizes.get(digest) ?? 0;
      this.#sizes.delete(digest);
    }
    if (added.length + removed.length > 0) this.#options.onChange?.(added, removed);
    for (const digest of added) {
      if (!share.blobs.has(digest)) continue;
      const size = await ifReadable(this.#options.store.sizeOf(digest));
      if (size !== undefined) this.held(digest, size);
    }
  }

  /** The new count. */
  #count(digest: Digest, by: 1 | -1): number {
    const count = (this.#counts.get(digest) ?? 0) + by;
    if (count === 0) this.#counts.delete(digest);
    else this.#counts.set(digest, count);
    return count;
  }
}
