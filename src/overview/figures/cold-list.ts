/**
 * What is cold: the blobs in the order in which an eviction takes them, what the next one takes, and what was fetched again soon after its
 * eviction. A digest is named only where the caller may know what it belongs to.
 */

import type { RecentEvictions } from '../../capacity/recent-evictions.ts';
import type { ColdAnswer, ColdBlob } from '../../http/api/schema/stats.ts';
import { TimeSlice } from '../../lib/time-slice.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Caller } from '../../registry/caller.ts';
import type { BlobUses, CountedUses } from '../held/blob-uses.ts';
import type { HeldRepositories } from '../held/held-repositories.ts';

export interface ColdListOptions {
  readonly lru: {
    coldest(count: number): Promise<readonly { digest: Digest; size: number; lastUseMs: number }[]>;
    readonly bytes: number;
    readonly count: number;
  };
  readonly pins: { isPinned(digest: Digest): boolean | Promise<boolean> };
  usage(): { readonly heldBytes: number; readonly limitBytes: number };
  /** 0 … 1: an eviction goes on until this share of the limit. */
  lowWatermark(): number;
  readonly uses: Pick<BlobUses, 'current'>;
  readonly repositories: Pick<HeldRepositories, 'mayPull'>;
  readonly evictions: Pick<RecentEvictions, 'fetchedAgain'>;
}

export class ColdList {
  readonly #options: ColdListOptions;

  constructor(options: ColdListOptions) {
    this.#options = options;
  }

  /** Errors: the signal's reason. */
  async first(n: number, caller: Caller, signal: AbortSignal): Promise<ColdAnswer> {
    const { lru, pins, usage, lowWatermark, uses } = this.#options;
    const { heldBytes, limitBytes } = usage();
    const limit = Number.isFinite(limitBytes) ? limitBytes : null;
    const low = limit === null ? null : Math.floor(limit * lowWatermark());
    const toFree = limit === null || low === null ? 0 : Math.max(heldBytes, limit) - low;
    const names = new VisibleNames(this.#options.repositories, caller, uses.current());
    const slice = new TimeSlice();
    const blobs: ColdBlob[] = [];
    const next = { blobs: 0, bytes: 0 };
    for (const { digest, size, lastUseMs } of await lru.coldest(n)) {
      await slice.pause();
      signal.throwIfAborted();
      const pinned = await pins.isPinned(digest);
      const goesNext = !pinned && next.bytes < toFree;
      if (goesNext) {
        next.blobs += 1;
        next.bytes += size;
      }
      const repository = await names.of(digest);
      const lastUsedAt = new Date(lastUseMs).toISOString();
      blobs.push({
        digest: repository === null ? null : digest,
        bytes: size,
        lastUsedAt,
        pinned,
        repository,
        goesNext,
      });
    }
    return {
      blobs,
      total: { blobs: lru.count, bytes: lru.bytes },
      nextEviction: { ...next, limitBytes: limit, lowBytes: low, heldBytes },
      refetched: await this.#refetched(names),
    };
  }

  async #refetched(names: VisibleNames): Promise<ColdAnswer['refetched']> {
    const rows: ColdAnswer['refetched'][number][] = [];
    for (const { digest, bytes, evictedAtMs, fetchedAtMs } of this.#options.evictions.fetchedAgain()) {
      const repository = await names.of(digest);
      rows.push({
        digest: repository === null ? null : digest,
        repository,
        bytes,
        evictedAt: new Date(evictedAtMs).toISOString(),
        fetchedAt: new Date(fetchedAtMs).toISOString(),
      });
    }
    return rows;
  }
}

/** The repository of a blob, where the caller may know it. */
class VisibleNames {
  readonly #repositories: ColdListOptions['repositories'];
  readonly #caller: Caller;
  readonly #uses: CountedUses | undefined;
  readonly #known = new Map<string, boolean>();

  constructor(repositories: ColdListOptions['repositories'], caller: Caller, uses: CountedUses | undefined) {
    this.#repositories = repositories;
    this.#caller = caller;
    this.#uses = uses;
  }

  async of(digest: Digest): Promise<string | null> {
    const name = this.#uses?.repositoryOf(digest);
    if (name === undefined) return null;
    const may = this.#known.get(name) ?? (await this.#repositories.mayPull(name, this.#caller));
    this.#known.set(name, may);
    return may ? name : null;
  }
}
