/**
 * Removes what is cold, one file after the other, until told that it is enough: first partials that nobody fills, then
 * the least recently used blobs. What may not go (pinned, hosted, being filled) or can't go (the disk refuses) is passed
 * over for this run. The file goes before its entry in the index: a crash in between costs a rebuild's look, not bytes
 * that nobody counts. It decides neither when to run nor how much is enough: that is capacity.
 */

import type { Lru, LruEntry } from '../lru/lru.ts';
import type { Digest } from '../oci/digest.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import type { PartialList } from './partial-list.ts';

export interface EvictorOptions {
  readonly lru: Lru;
  readonly partials: PartialList;
  /** Resolves with the bytes freed, 0 when the file was gone already. */
  unlinkBlob(digest: Digest): Promise<number>;
  /** The same for a partial and its journal. */
  unlinkPartial(digest: Digest): Promise<number>;
  /** Asked right before a blob's unlink; what it looks at is on disk, for the index is only a copy. */
  mayEvict(digest: Digest): boolean | Promise<boolean>;
  /** Somebody is filling that digest. Asked right before a partial's unlink. */
  isActive(digest: Digest): boolean;
  readonly observer: Pick<Observer, 'evicted'>;
  readonly logger: Logger;
  now(): number;
}

/** Small, so that a blob used a moment ago is seldom in the batch that was asked for before. */
const batchSize = 16;
/** Failed removals in one run after which the disk is taken to refuse them all (read-only, dying). */
const maxFailures = 8;

export class Evictor {
  readonly #options: EvictorOptions;
  #removedBytes = 0;
  #failures = 0;

  constructor(options: EvictorOptions) {
    this.#options = options;
  }

  /** Since the start; blobs and partials. */
  get removedBytes(): number {
    return this.#removedBytes;
  }

  /**
   * `isEnough` is asked before each removal. Resolves with false when nothing more can be removed though it isn't
   * enough. Never throws. One run at a time: the caller sees to that.
   */
  async run(isEnough: () => boolean): Promise<boolean> {
    this.#failures = 0;
    try {
      return (await this.#runPartials(isEnough)) || (await this.#runBlobs(isEnough));
    } catch (error) {
      this.#options.logger.warn('eviction failed', { error: describe(error) });
      return false;
    }
  }

  async #runPartials(isEnough: () => boolean): Promise<boolean> {
    const { partials, isActive, unlinkPartial, logger } = this.#options;
    for (const { digest, bytes } of partials.coldestFirst()) {
      if (isEnough()) return true;
      if (isActive(digest) || !partials.has(digest)) continue;
      try {
        await unlinkPartial(digest);
        partials.delete(digest);
        this.#removedBytes += bytes;
        logger.debug('partial evicted', { digest, bytes });
      } catch (error) {
        this.#failed(digest, error);
      }
    }
    return isEnough();
  }

  async #runBlobs(isEnough: () => boolean): Promise<boolean> {
    const refused = new Set<Digest>();
    while (!isEnough()) {
      // Twice the refused: a long row of pinned blobs at the cold end is walked in few rounds.
      const coldest = await this.#options.lru.coldest(batchSize + 2 * refused.size);
      const batch = coldest.filter(entry => !refused.has(entry.digest));
      if (batch.length === 0) return isEnough();
      for (const entry of batch) {
        if (isEnough()) return true;
        if (this.#failures >= maxFailures) return false;
        if (!(await this.#evict(entry))) refused.add(entry.digest);
      }
    }
    return true;
  }

  async #evict({ digest, size, lastUseMs }: LruEntry): Promise<boolean> {
    const { lru, mayEvict, unlinkBlob, observer, logger, now } = this.#options;
    try {
      if (!(await mayEvict(digest))) return false;
      await unlinkBlob(digest);
    } catch (error) {
      this.#failed(digest, error);
      return false;
    }
    lru.remove(digest);
    this.#removedBytes += size;
    const ageSeconds = Math.max(0, (now() - lastUseMs) / 1000);
    observer.evicted(size, ageSeconds);
    logger.debug('blob evicted', { digest, bytes: size, ageSeconds });
    return true;
  }

  /** One line per run: a disk that refuses would fill the log. Each failure was reported by the store. */
  #failed(digest: Digest, error: unknown): void {
    this.#failures += 1;
    if (this.#failures === 1)
      this.#options.logger.warn('could not evict', { digest, error: describe(error) });
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
