/**
 * Removes what is kept of repositories that were not used for `store.records_ttl`: the record, its lists, and the manifests that no other
 * record names. Their blobs stay for the LRU index to evict. Pinned repositories and those in use stay.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { BlobStore } from '../blobs/blob-store.ts';
import { StoreError } from '../store-error.ts';
import type { PinnedBlobs } from './pinned-blobs.ts';
import type { UnusedRecord } from './record-table.ts';
import { markUseEveryMs, type Records } from './records.ts';
import type { RepositoryRecord } from './repository-record.ts';

export interface UnusedRecordsOptions {
  readonly records: Pick<
    Records,
    'allNames' | 'look' | 'unusedSince' | 'isUnusedSince' | 'noteManifests' | 'remove'
  >;
  readonly store: Pick<BlobStore, 'remove'>;
  readonly pins: Pick<PinnedBlobs, 'isPinned'>;
  readonly logger: Logger;
  /** 0: they never go. */
  readonly ttlMs: number;
  /** Milliseconds since the epoch. */
  now(): number;
  /** Called before its links are forgotten. */
  onRemove(record: RepositoryRecord): void;
}

export class UnusedRecords {
  readonly #options: UnusedRecordsOptions;

  constructor(options: UnusedRecordsOptions) {
    this.#options = options;
  }

  /** For one run of the evictor. */
  begin(): RecordRemoval {
    return new RecordRemoval(this.#options);
  }
}

export class RecordRemoval {
  readonly #options: UnusedRecordsOptions;
  readonly #beforeMs: number;
  /** The next one last. */
  readonly #unused: UnusedRecord[];
  /** How many records name a manifest; read when the first record goes. */
  #named: Promise<Map<Digest, number>> | undefined;
  /** Manifests that came to a record during this run. */
  readonly #namedSince: ReadonlySet<Digest>;

  constructor(options: UnusedRecordsOptions) {
    this.#options = options;
    this.#beforeMs = options.ttlMs === 0 ? -Infinity : options.now() - options.ttlMs;
    this.#unused = options.records.unusedSince(this.#beforeMs).reverse();
    this.#namedSince = this.#unused.length === 0 ? new Set() : options.records.noteManifests(true);
  }

  /** The run is over. */
  end(): void {
    this.#options.records.noteManifests(false);
  }

  /** Whether a repository is due that was used before a blob that was used at `lastUseMs`, as far as its last use is known. */
  isNextBefore(lastUseMs: number): boolean {
    const next = this.#unused.at(-1);
    return next !== undefined && next.lastUseMs + markUseEveryMs < lastUseMs;
  }

  /** Removes that one. Resolves with the bytes of manifests that were freed; records are counted by `Records`. Never throws. */
  async removeNext(): Promise<number> {
    const next = this.#unused.pop();
    if (next === undefined) return 0;
    try {
      return await this.#remove(next.name);
    } catch (error) {
      this.#options.logger.warn('an unused record could not be removed', { repository: next.name, error });
      return 0;
    }
  }

  async #remove(name: string): Promise<number> {
    const { records, logger, onRemove } = this.#options;
    const record = await records.look(name);
    const mayGo = () => record.pins.size === 0 && records.isUnusedSince(name, this.#beforeMs);
    if (!mayGo()) return 0;
    this.#named ??= this.#countNamed();
    const named = await this.#named;
    if (!mayGo()) return 0;
    const manifests = Array.from(record.manifests(), ({ digest }) => digest);
    onRemove(record); // from here to `remove` nothing is awaited: a client that comes now finds an empty record
    await records.remove(record);
    let bytes = 0;
    let count = 0;
    for (const digest of manifests) {
      const others = (named.get(digest) ?? 1) - 1;
      named.set(digest, others);
      if (others > 0 || this.#namedSince.has(digest)) continue;
      bytes += await this.#removeManifest(digest);
      count += 1;
    }
    logger.info('removed the record of an unused repository', { repository: name, manifests: count, bytes });
    return bytes;
  }

  async #removeManifest(digest: Digest): Promise<number> {
    const { store, pins } = this.#options;
    if (await pins.isPinned(digest)) return 0;
    try {
      return await store.remove(digest);
    } catch (error) {
      if (error instanceof StoreError) return 0; // the store has reported it, and the next scan counts it as a blob
      throw error;
    }
  }

  async #countNamed(): Promise<Map<Digest, number>> {
    const { records } = this.#options;
    const named = new Map<Digest, number>();
    for (const name of await records.allNames())
      for (const { digest } of (await records.look(name)).manifests())
        named.set(digest, (named.get(digest) ?? 0) + 1);
    return named;
  }
}
