/**
 * What runs behind the start, while requests are served already: leftovers of a crash are swept, public links, pins and the
 * LRU index are read from the store. Ends by itself; `close` ends it early.
 */
import type { PullThroughCache } from '../cached/pull-through-cache.ts';
import type { Capacity } from '../capacity/capacity.ts';
import { rebuildLru } from '../lru/index/rebuild.ts';
import type { LoadableLru } from '../lru/lru.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import type { Quarantine } from '../store/blobs/quarantine.ts';
import { sweepIngests } from '../store/ingest/sweep.ts';
import type { StoreLayout } from '../store/layout.ts';
import type { PinnedBlobs } from '../store/records/pinned-blobs.ts';
import type { Records } from '../store/records/records.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import type { StoreObserver } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';

export interface StoreReadingOptions {
  readonly layout: StoreLayout;
  readonly store: BlobStore;
  readonly quarantine: Quarantine;
  readonly records: Records;
  readonly pins: PinnedBlobs;
  readonly lru: LoadableLru;
  readonly capacity: Capacity;
  readonly cache: PullThroughCache;
  readonly downloads: { isActive(digest: Digest): boolean };
  readonly partialTtlMs: number;
  readonly observer: StoreObserver;
  readonly logger: Logger;
  now(): number;
}

export class StoreReading {
  /** Never rejects: what can't be read is logged, and found again by and by. */
  readonly done: Promise<void>;
  readonly #options: StoreReadingOptions;
  readonly #controller = new AbortController();
  readonly #manifests = new Set<Digest>();

  constructor(options: StoreReadingOptions) {
    this.#options = options;
    this.done = this.#read().catch((error: unknown) => {
      if (!this.#controller.signal.aborted) options.logger.error('reading the store failed', { error });
    });
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#controller.abort(new Error('the mirror is shutting down'));
    await this.done;
  }

  async #read(): Promise<void> {
    const { capacity, cache, downloads, logger, lru, quarantine, store } = this.#options;
    const rebuilding = rebuildLru({
      scan: store.scan(cache.loadLinks(this.#publicRecords())), // by then it is known which are manifests
      isManifest: digest => this.#manifests.has(digest),
      lru,
      now: () => performance.now(),
      signal: this.#controller.signal,
    });
    const sweeping = sweepIngests({ ...this.#options, isActive: digest => downloads.isActive(digest) })
      .then(partials => capacity.addPartials(partials)) // at once: some of them may be completed before the scan ends
      .catch((error: unknown) => logger.warn('leftovers could not be swept', { error }));
    const counting = quarantine
      .load()
      .catch((error: unknown) => logger.warn('what was set aside could not be counted', { error }));
    const [{ manifestBytes }] = await Promise.all([rebuilding, sweeping, counting]);
    capacity.account(manifestBytes);
    await capacity.scanned();
  }

  /** All records are looked at, for the manifests among the blobs; those of public repositories are given out. */
  async *#publicRecords(): AsyncGenerator<RepositoryRecord> {
    const { records, pins, cache, logger } = this.#options;
    for await (const name of records.names()) {
      this.#controller.signal.throwIfAborted();
      const record = await records.open(name).catch((error: unknown) => {
        logger.warn('a folder among the records is none of ours', { name, error });
      });
      if (record === undefined) continue;
      for (const { digest } of record.manifests()) this.#manifests.add(digest);
      await pins.load(record);
      if (cache.isPublic(record)) yield record;
    }
    pins.loaded(); // before anything is evicted: that waits for the end of the reading
  }
}
