/**
 * Which side counts a held file. Each file is counted once: as a cached blob in the LRU index, as a cached manifest in the books of the
 * capacity, or as hosted, in neither. Content that loses its last hosted link goes back to the cache when a cached record knows it, and
 * else out of the store.
 */
import type { Lru } from '../lru/lru.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import type { Records } from '../store/records/records.ts';
import { StoreError } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ContentKind } from './bad-blobs.ts';
import type { BlobHolds } from './blob-holds.ts';

export interface ContentOwnersOptions {
  readonly lru: Pick<Lru, 'add' | 'remove'>;
  readonly holds: BlobHolds;
  readonly store: Pick<BlobStore, 'sizeOf' | 'remove'>;
  readonly records: Pick<Records, 'allNames' | 'look'>;
  readonly logger: Logger;
  /** A hosted repository links it. */
  isHosted(digest: Digest): boolean;
  /** Not pinned, not being filled, and all hosted links are known. Synchronous. */
  mayRemove(digest: Digest): boolean;
  /** Cached manifests came, or went (negative). Bytes. */
  account(bytes: number): void;
  /** In the turn in which a removal begins. */
  onRemove?(digest: Digest): void;
  /** Bounds removals per second: resolves when so many may go. Absent: no bound. Errors: the signal's reason. */
  pace?(count: number, signal: AbortSignal): Promise<void>;
}

/** What became of content that lost its last hosted link. */
export type Release = 'cached' | 'removed' | 'hosted';

export interface OwnersListener {
  /** Its file is gone: whatever keeps it in memory must forget it. */
  removed(digest: Digest): void;
  /** `bytes`: of the file. */
  released?(digest: Digest, bytes: number, release: Release): void;
}

/** So many are looked up in the records at once, and removed right after it. */
const releasedAtOnce = 100;

export class ContentOwners {
  readonly #options: ContentOwnersOptions;
  readonly #closing = new AbortController();
  /** Counted as the cache's. Bytes. */
  readonly #manifests = new Map<Digest, number>();
  readonly #lost = new Map<Digest, number>();
  /** Was needed (held, pinned or downloaded) when it lost its last link, though no record knows it: the next collection tries again. */
  readonly #unowned = new Map<Digest, number>();
  #releasing: Promise<void> | undefined;
  #listener: OwnersListener | undefined;

  constructor(options: ContentOwnersOptions) {
    this.#options = options;
  }

  listen(listener: OwnersListener): void {
    this.#listener = listener;
  }

  /** A manifest of the cache is in the store. Idempotent. */
  manifestStored(digest: Digest, bytes: number): void {
    if (this.#manifests.has(digest) || this.#options.isHosted(digest)) return;
    this.#manifests.set(digest, bytes);
    this.#options.account(bytes);
  }

  /** Its file is gone. Idempotent. */
  gone(digest: Digest): void {
    this.#unowned.delete(digest);
    this.#options.lru.remove(digest);
    this.#uncount(digest);
  }

  /** A hosted repository links it from now on. Synchronous. */
  gained(digest: Digest): void {
    this.#lost.delete(digest);
    this.#unowned.delete(digest);
    this.gone(digest); // out of the cache's books
  }

  /** No hosted repository links it any more. It is decided in the background. */
  lost(digest: Digest, size: number): void {
    this.#lost.set(digest, size);
    this.#releasing ??= Promise.resolve().then(() => this.#releaseAll());
  }

  /** Resolves when all that was lost has found its place. Never throws. */
  async settled(): Promise<void> {
    await this.#releasing;
  }

  /** Nothing is released any more: what was lost is a file of the cache after the next start. Idempotent. Never throws. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#releasing;
  }

  /** What could not be removed when it lost its last link, because it was held or pinned, is decided again. */
  releaseAgain(): void {
    for (const [digest, size] of this.#unowned) this.lost(digest, size);
  }

  /** Of these, the ones that go when they lose their last hosted link: no cached record knows them. Errors: `StoreError`. */
  async notCached(digests: ReadonlyMap<Digest, number>): Promise<ReadonlyMap<Digest, number>> {
    const cached = await this.#cachedAmong(digests);
    return new Map(Array.from(digests).filter(([digest]) => !cached.has(digest)));
  }

  /**
   * Removes a file unless something needs it, all checks in the turn in which the removal begins. Resolves with the bytes freed;
   * undefined: it stays. Errors: `StoreError` unlink.
   */
  removeFree(digest: Digest): Promise<number | undefined> {
    const { holds, store, isHosted, mayRemove, onRemove } = this.#options;
    return holds.removeUnlessHeld(
      digest,
      () => !isHosted(digest) && mayRemove(digest),
      async () => {
        onRemove?.(digest);
        const bytes = await store.remove(digest);
        this.gone(digest);
        this.#listener?.removed(digest);
        return bytes;
      },
    );
  }

  async #releaseAll(): Promise<void> {
    try {
      while (this.#lost.size > 0) {
        await this.#options.pace?.(Math.min(this.#lost.size, releasedAtOnce), this.#closing.signal);
        const lost = new Map(Array.from(this.#lost).slice(0, releasedAtOnce));
        for (const digest of lost.keys()) this.#lost.delete(digest);
        await this.#release(lost);
        this.#closing.signal.throwIfAborted();
      }
    } catch (error) {
      if (this.#closing.signal.aborted) return;
      this.#options.logger.error('content without hosted links could not be released', { error });
    } finally {
      this.#releasing = undefined;
    }
  }

  async #release(lost: ReadonlyMap<Digest, number>): Promise<void> {
    const cached = await this.#cachedAmong(lost).catch((error: unknown) => {
      if (!(error instanceof StoreError)) throw error;
      return new Map(Array.from(lost.keys(), digest => [digest, 'blob' as const])); // nothing is removed without having looked
    });
    for (const [digest, size] of lost) {
      const release = await this.#releaseOne(digest, size, cached.get(digest));
      this.#listener?.released?.(digest, size, release);
    }
  }

  /** What stays although no record knows it (held, pinned) becomes cache too: then it can be evicted, and is never forgotten. */
  async #releaseOne(digest: Digest, size: number, kind: ContentKind | undefined): Promise<Release> {
    const { lru, isHosted, logger } = this.#options;
    this.#unowned.delete(digest);
    if (isHosted(digest)) return 'hosted'; // linked again
    try {
      if (kind === undefined && (await this.removeFree(digest)) !== undefined) return 'removed';
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      logger.warn('a file without links could not be removed', { digest, error });
    }
    if (isHosted(digest)) return 'hosted';
    if (kind === 'manifest') this.manifestStored(digest, size);
    else lru.add(digest, size);
    if (kind === undefined) this.#unowned.set(digest, size);
    return 'cached';
  }

  /** One walk over all records for all of them. */
  async #cachedAmong(digests: ReadonlyMap<Digest, number>): Promise<ReadonlyMap<Digest, ContentKind>> {
    const { records } = this.#options;
    const found = new Map<Digest, ContentKind>();
    for (const name of await records.allNames()) {
      const record = await records.look(name).catch(() => undefined); // a foreign folder, reported at the start
      if (record === undefined) continue;
      for (const digest of digests.keys()) {
        if (record.manifest(digest) !== undefined) found.set(digest, 'manifest');
        else if (record.isLinked(digest) && !found.has(digest)) found.set(digest, 'blob');
      }
    }
    return found;
  }

  #uncount(digest: Digest): void {
    const bytes = this.#manifests.get(digest);
    if (bytes === undefined) return;
    this.#manifests.delete(digest);
    this.#options.account(-bytes);
  }
}
