/**
 * What is done with a held file that isn't what its digest says, or can't be read: it goes out of the store and out of the
 * count, so that the next ask fetches it again. Where the disk doesn't even let it go, it is remembered as bad, and the
 * mirror does without it.
 */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';
import type { Quarantine } from '../store/blobs/quarantine.ts';
import { StoreError } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import type { RecentMismatches } from './recent-mismatches.ts';

const maxStuck = 1000;

export interface BadBlobsOptions {
  readonly quarantine: Pick<Quarantine, 'take'>;
  readonly suspects: RecentMismatches;
  readonly observer: Pick<Observer, 'storeError'>;
  readonly logger: Logger;
  /** It is no longer held; so many bytes fewer. */
  removed(digest: Digest, bytes: number, kind: BadKind): void;
}

export type BadKind = 'blob' | 'manifest';

export class BadBlobs {
  readonly #options: BadBlobsOptions;
  /** Files that can't be moved, by id; empty: which file it is isn't known. */
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

  /** Its bytes aren't those of the digest. Never throws. */
  async damaged(digest: Digest, fileId: string, kind: BadKind, detail: string): Promise<void> {
    if (await this.#setAside(digest, fileId, kind, detail)) this.#options.observer.storeError('verify');
  }

  /** It can't be opened or read; that was reported where it arose. Never throws. */
  async unreadable(
    digest: Digest,
    fileId: string | undefined,
    kind: BadKind,
    error: StoreError,
  ): Promise<void> {
    if (error.isPassing) this.#stuck.set(digest, fileId ?? '');
    else await this.#setAside(digest, fileId, kind, error.message);
  }

  /** False: somebody else was faster, or it was evicted. */
  async #setAside(
    digest: Digest,
    fileId: string | undefined,
    kind: BadKind,
    detail: string,
  ): Promise<boolean> {
    const { quarantine, suspects, logger, removed } = this.#options;
    if (fileId !== undefined) suspects.add(digest); // it was open: some client may have its beginning
    try {
      const taken = await quarantine.take(digest, fileId);
      if (taken === undefined) return false;
      removed(digest, taken.bytes, kind);
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
