/**
 * A held file with wrong bytes, or one that can't be read, leaves the store and the count, so that the next request fetches
 * it again. A file that the disk can't move, or that was pushed, stays: it is remembered as bad, and counts as not held.
 */
import { LRUCache } from 'lru-cache';
import { ExpiringMap } from '../lib/expiring-map.ts';
import type { Digest } from '../oci/digest.ts';
import type { Quarantine } from '../store/blobs/quarantine.ts';
import { StoreError } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';

const maxStuck = 1000;
const mismatchTtlMs = 60_000;
const maxMismatches = 10_000;

export type ContentKind = 'blob' | 'manifest';

/** What the LRU index and the capacity are told of held content. All are synchronous. */
export interface ContentEvents {
  /** A blob was used. */
  touch(digest: Digest): void;
  /** The bytes of a blob were compared with its digest just now. */
  verified(digest: Digest): void;
  /** A manifest of that many bytes is new in the store. */
  manifestStored(digest: Digest, bytes: number): void;
  /** That many bytes are no longer held. */
  removed(digest: Digest, bytes: number, kind: ContentKind): void;
}

/**
 * Digests whose bytes were wrong within the last minute. A Range that starts above 0 gets the whole blob with 200 then: a
 * client that was cut must not append a good tail to a wrong head.
 */
export class RecentMismatches {
  readonly #digests: ExpiringMap<Digest, true>;

  constructor(now: () => number) {
    this.#digests = new ExpiringMap({ maxEntries: maxMismatches, ttlMs: mismatchTtlMs, now });
  }

  add(digest: Digest): void {
    this.#digests.set(digest, true);
  }

  has(digest: Digest): boolean {
    return this.#digests.has(digest);
  }
}

export interface BadBlobsOptions {
  readonly quarantine: Pick<Quarantine, 'take'>;
  /** A hosted repository links it, or may do so: its file is never moved. */
  isHosted?(digest: Digest): boolean;
  readonly mismatches: RecentMismatches;
  readonly events: Pick<ContentEvents, 'removed'>;
  readonly observer: Pick<Observer, 'storeError'>;
  readonly logger: Logger;
}

export class BadBlobs {
  readonly #options: BadBlobsOptions;
  /** Ids of files that can't be moved; empty when the id isn't known. */
  readonly #stuck = new LRUCache<Digest, string>({ max: maxStuck });

  constructor(options: BadBlobsOptions) {
    this.#options = options;
  }

  /** Known to be bad, and still there. Another file in its place (`fileId`) clears that. */
  isStuck(digest: Digest, fileId?: string): boolean {
    const stuck = this.#stuck.peek(digest);
    if (stuck === undefined) return false;
    if (fileId === undefined || fileId === stuck) return true;
    this.#stuck.delete(digest);
    return false;
  }

  /** An earlier process has found it damaged: it counts as not held while that file is in its place. */
  remember(digest: Digest, fileId: string): void {
    this.#stuck.set(digest, fileId);
  }

  /** The file in its place was compared, and is good: an operator may have mended it. */
  cleared(digest: Digest): void {
    this.#stuck.delete(digest);
  }

  /** Its bytes aren't those of the digest. Never throws. */
  async damaged(digest: Digest, fileId: string, kind: ContentKind, detail: string): Promise<void> {
    if (await this.#setAside(digest, fileId, kind, detail)) this.#options.observer.storeError('verify');
  }

  /** It can't be opened or read, and the store has reported that. Never throws. */
  async unreadable(
    digest: Digest,
    fileId: string | undefined,
    kind: ContentKind,
    error: StoreError,
  ): Promise<void> {
    if (error.isPassing) this.#stuck.set(digest, fileId ?? '');
    else await this.#setAside(digest, fileId, kind, error.message);
  }

  /**
   * What was pushed can't be fetched again, and half of it may be worth more than nothing. It counts as not held, so its client
   * pushes it again, which replaces the file. False: this file was found before.
   */
  #keepHosted(digest: Digest, fileId: string | undefined, detail: string): boolean {
    const id = fileId ?? '';
    if (this.#stuck.get(digest) === id) return false;
    this.#stuck.set(digest, id);
    const message = 'a pushed file is bad, it stays in its place: push the image again';
    this.#options.logger.error(message, { digest, detail });
    return true;
  }

  /** False: it was set aside or evicted before. */
  async #setAside(
    digest: Digest,
    fileId: string | undefined,
    kind: ContentKind,
    detail: string,
  ): Promise<boolean> {
    const { quarantine, mismatches, logger, events, isHosted } = this.#options;
    if (fileId !== undefined) mismatches.add(digest); // it was open: a client may have its beginning
    if (isHosted?.(digest) === true) return this.#keepHosted(digest, fileId, detail);
    try {
      const taken = await quarantine.take(digest, fileId);
      if (taken === undefined) return false;
      events.removed(digest, taken.bytes, kind);
      const { bytes, path } = taken;
      logger.error('a held file is bad, it will be fetched again', { digest, bytes, detail, movedTo: path });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#stuck.set(digest, fileId ?? '');
      logger.error('a held file is bad, and the disk does not let it go', { digest, detail, error });
    }
    return true;
  }
}
