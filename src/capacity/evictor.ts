/**
 * Removes cold files one after the other: first partials that no download fills, then the least recently used blobs, and among
 * them the records of repositories that were not used for longer than `store.records_ttl`. Blobs
 * that may not go (pinned) or can't (the disk refuses) are skipped in this run. The file goes before its entry in the index:
 * a crash in between costs no uncounted bytes. `Capacity` decides when to run and how much is enough.
 */
import type { Lru, LruEntry } from '../lru/lru.ts';
import type { Digest } from '../oci/digest.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import type { Ledger, Partial } from './ledger.ts';
import type { RoomQueue } from './room.ts';

/** The files of the store and of running downloads, as capacity needs them. */
export interface StoredFiles {
  readonly disk: { freeBytes(): Promise<{ readonly free: number; readonly total: number }> };
  readonly downloads: {
    /** On disk already, within reservations; else `min_free` would count them twice. */
    readonly heldBytes: number;
    /** One fills that digest. Asked right before a partial's unlink. */
    isActive(digest: Digest): boolean;
  };
  /** Of records and lists, which count but are no blobs. */
  recordBytes(): number;
  /** What is kept of repositories that were not used for a long time, for one run. */
  unusedRecords(): UnusedRecords;
  /** Asked right before a blob's unlink. It looks at the records, because the index is only a copy. */
  mayEvict(digest: Digest): boolean | Promise<boolean>;
  /** Undefined: there is no partial of it on disk. */
  findPartial(digest: Digest): Promise<Partial | undefined>;
  /** Nothing at all may be evicted now: what the hosted repositories need isn't known. */
  isEvictionStopped?(): boolean;
  /**
   * Asks whether the blob may go in the turn in which its removal begins. Resolves with the bytes freed, 0 when the file was
   * gone already; undefined: it may not go now.
   */
  unlinkBlob(digest: Digest): Promise<number | undefined>;
  /** The same for a partial and its journal. It is always free to go. */
  unlinkPartial(digest: Digest): Promise<number>;
}

/** Records go in the order of their last use among the blobs, so that a repository doesn't lose its record before its blobs. */
export interface UnusedRecords {
  /** Whether one is due that was used before a blob that was used at `lastUseMs` (since the epoch). */
  isNextBefore(lastUseMs: number): boolean;
  /** Removes it with manifests that no other record names, and takes both out of the books. Never throws. */
  removeNext(): Promise<unknown>;
  /** The run is over. */
  end(): void;
}

export interface EvictorOptions {
  readonly lru: Lru;
  readonly files: StoredFiles;
  readonly observer: Pick<Observer, 'evicted'>;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Small, so that a blob used a moment ago is seldom in a batch that was read before. */
const batchSize = 16;
/** After so many failed removals in one run, the disk is taken to refuse all of them (read-only, dying). */
const maxFailures = 8;

export class Evictor {
  readonly #options: EvictorOptions;
  readonly #ledger: Pick<Ledger, 'partials'>;
  readonly #queue: RoomQueue;
  #removedBytes = 0;
  #failures = 0;
  /** What the eviction that runs has removed. */
  #run = { blobs: 0, partials: 0, bytes: 0 };

  /** Partials that a request in the `queue` will go on with are not removed. */
  constructor(options: EvictorOptions, ledger: Pick<Ledger, 'partials'>, queue: RoomQueue) {
    this.#options = options;
    this.#ledger = ledger;
    this.#queue = queue;
  }

  /** Blobs and partials since the start. */
  get removedBytes(): number {
    return this.#removedBytes;
  }

  /**
   * Yields before each removal, so that the caller can stop there and `return`; ends when nothing more can be removed, with one
   * line in the log for all that went. Never throws. The caller runs one at a time.
   */
  async *removals(): AsyncGenerator<void, void> {
    this.#failures = 0;
    const run = { blobs: 0, partials: 0, bytes: 0 };
    this.#run = run;
    const records = this.#options.files.unusedRecords();
    try {
      yield* this.#removePartials();
      yield* this.#removeBlobs(records);
      yield* this.#removeRecords(records, Infinity);
    } catch (error) {
      this.#options.logger.warn('eviction failed', { error: describe(error) });
    } finally {
      records.end();
      if (run.blobs + run.partials > 0) this.#options.logger.info('evicted', run);
    }
  }

  async *#removePartials(): AsyncGenerator<void, void> {
    const { files, logger } = this.#options;
    const { partials } = this.#ledger;
    for (const { digest, bytes } of partials.coldestFirst()) {
      yield;
      if (files.downloads.isActive(digest) || this.#queue.has(digest) || !partials.has(digest)) continue;
      try {
        await files.unlinkPartial(digest);
        partials.delete(digest);
        this.#removedBytes += bytes;
        this.#run.partials += 1;
        this.#run.bytes += bytes;
        logger.debug('partial evicted', { digest, bytes });
      } catch (error) {
        this.#logFailure(digest, error);
      }
    }
  }

  async *#removeRecords(records: UnusedRecords, beforeMs: number): AsyncGenerator<void, void> {
    while (records.isNextBefore(beforeMs)) {
      yield;
      await records.removeNext();
    }
  }

  async *#removeBlobs(records: UnusedRecords): AsyncGenerator<void, void> {
    const refused = new Set<Digest>();
    for (;;) {
      // Twice the refused: a long row of pinned blobs at the cold end is passed in few rounds.
      const coldest = await this.#options.lru.coldest(batchSize + 2 * refused.size);
      const batch = coldest.filter(entry => !refused.has(entry.digest));
      if (batch.length === 0) return;
      for (const entry of batch) {
        yield* this.#removeRecords(records, entry.lastUseMs);
        yield;
        if (this.#failures >= maxFailures) return;
        if (!(await this.#evict(entry))) refused.add(entry.digest);
      }
    }
  }

  async #evict({ digest, size, lastUseMs }: LruEntry): Promise<boolean> {
    const { lru, files, observer, logger } = this.#options;
    try {
      if (!(await files.mayEvict(digest))) return false;
      if ((await files.unlinkBlob(digest)) === undefined) return false;
    } catch (error) {
      this.#logFailure(digest, error);
      return false;
    }
    lru.remove(digest);
    this.#removedBytes += size;
    this.#run.blobs += 1;
    this.#run.bytes += size;
    const ageSeconds = Math.max(0, (this.#options.now() - lastUseMs) / 1000);
    observer.evicted(size, ageSeconds, digest);
    logger.debug('blob evicted', { digest, bytes: size, ageSeconds });
    return true;
  }

  /** Logs the first failure of a run. The store reported each of them. */
  #logFailure(digest: Digest, error: unknown): void {
    this.#failures += 1;
    if (this.#failures === 1)
      this.#options.logger.warn('could not evict', { digest, error: describe(error) });
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
