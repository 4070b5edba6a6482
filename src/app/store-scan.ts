/**
 * The scan of the store after the start, while requests are served: sweeps leftovers of a crash, and reads public links, pins
 * and the LRU index. It ends by itself; `close` ends it early.
 */
import type { PullThroughCache } from '../cached/pull-through-cache.ts';
import { rebuildLru } from '../lru/index/rebuild.ts';
import type { Digest } from '../oci/digest.ts';
import { sweepIngests } from '../store/ingest/sweep.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import type { AppContext } from './app-context.ts';
import type { Storage } from './storage.ts';

export class StoreScan {
  /** Never rejects: what can't be read is logged, and found when it is next used. */
  readonly done: Promise<void>;
  readonly #storage: Storage;
  readonly #cache: PullThroughCache;
  readonly #context: AppContext;
  readonly #controller = new AbortController();
  readonly #manifests = new Set<Digest>();

  constructor(storage: Storage, cache: PullThroughCache, context: AppContext) {
    this.#storage = storage;
    this.#cache = cache;
    this.#context = context;
    this.done = this.#run().catch((error: unknown) => {
      if (!this.#controller.signal.aborted) context.logger.error('reading the store failed', { error });
    });
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#controller.abort(new Error('the mirror is shutting down'));
    await this.done;
  }

  async #run(): Promise<void> {
    const { layout, capacity, downloads, lru, quarantine, store } = this.#storage;
    const { config, logger, metrics, now } = this.#context;
    const rebuilding = rebuildLru({
      scan: store.scan(this.#cache.loadLinks(this.#publicRecords())), // the records say which blobs are manifests
      isManifest: digest => this.#manifests.has(digest),
      lru,
      now: () => performance.now(),
      signal: this.#controller.signal,
    });
    const sweeping = sweepIngests({
      layout,
      observer: metrics,
      partialTtlMs: config.store.partialTtlMs,
      now,
      isActive: digest => downloads.isActive(digest),
    })
      .then(partials => capacity.addPartials(partials)) // at once: some of them may be completed before the scan ends
      .catch((error: unknown) => logger.warn('leftovers of a crash could not be removed', { error }));
    const counting = quarantine
      .load()
      .catch((error: unknown) => logger.warn('quarantined files could not be counted', { error }));
    const [{ manifestBytes }] = await Promise.all([rebuilding, sweeping, counting]);
    capacity.account(manifestBytes);
    await capacity.scanned();
  }

  /** Reads all records, for the manifests among the blobs, and yields those of public repositories. */
  async *#publicRecords(): AsyncGenerator<RepositoryRecord> {
    const { records, pins } = this.#storage;
    for (const name of await records.allNames()) {
      this.#controller.signal.throwIfAborted();
      const record = await records.look(name).catch((error: unknown) => {
        this.#context.logger.warn('ignoring a foreign folder among the records', { name, error });
      });
      if (record === undefined) continue;
      for (const { digest } of record.manifests()) this.#manifests.add(digest);
      await pins.load(record);
      if (this.#cache.isPublic(record)) yield record;
    }
    pins.loaded(); // before anything is evicted: evictions wait for the end of the scan
  }
}
