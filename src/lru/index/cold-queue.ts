/**
 * The coldest of a use table, in order. Looking at a million times takes some milliseconds, so the coldest few thousand
 * are found at once and given out from then on; what was used or removed since is passed over. That stays right, because
 * a use makes an entry hotter than all that were found.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { LruEntry } from '../lru.ts';
import { ColdestTimes } from './coldest-times.ts';
import type { UseShard } from './use-shard.ts';
import type { UseTable } from './use-table.ts';

interface Found {
  readonly digest: Digest;
  readonly lastUseMs: number;
}

/** Entries found at once. */
const batch = 4096;
const sliceMs = 5;
const tickMs = 1 / 1024;
/** A look is thrown away when the table got something colder meanwhile; not for ever. */
const maxLooks = 4;

export class ColdQueue {
  readonly #table: UseTable;
  #found: readonly Found[] = [];
  #next = 0;
  #looking: Promise<void> | undefined;
  #invalidations = 0;

  constructor(table: UseTable) {
    this.#table = table;
  }

  /** To be called when an entry came in, or got a time, that may be colder than what was found. */
  invalidate(): void {
    this.#found = [];
    this.#next = 0;
    this.#invalidations += 1;
  }

  /** Coldest first; fewer than asked for only when there are no more. */
  async coldest(count: number): Promise<readonly LruEntry[]> {
    let entries = this.#collect(count);
    for (let looks = 0; entries.length < Math.min(count, this.#table.count) && looks < maxLooks; looks += 1) {
      this.#looking ??= this.#look(Math.max(batch, 2 * count)).finally(() => {
        this.#looking = undefined;
      });
      await this.#looking;
      entries = this.#collect(count);
    }
    return entries;
  }

  /** Those found that are still as they were. The first ones that are not never will be again. */
  #collect(count: number): LruEntry[] {
    const entries: LruEntry[] = [];
    for (let at = this.#next; at < this.#found.length && entries.length < count; at += 1) {
      const found = this.#found[at];
      const use = found === undefined ? undefined : this.#table.get(found.digest);
      if (found !== undefined && use?.size !== undefined && use.lastUseMs === found.lastUseMs)
        entries.push({ ...found, size: use.size });
      else if (entries.length === 0) this.#next = at + 1;
    }
    return entries;
  }

  async #look(wanted: number): Promise<void> {
    const invalidations = this.#invalidations;
    const times = new ColdestTimes(wanted);
    await this.#scan(Infinity, (shard, at, lastUseMs) =>
      shard.isSized(at) ? times.offer(lastUseMs) : times.latest,
    );
    const { latest } = times;
    let ties = wanted - times.earlierThanLatest;
    const found: Found[] = [];
    // One step above the latest: `scanBelow` leaves out the limit itself.
    const limitMs = latest === Infinity ? latest : latest + tickMs;
    await this.#scan(limitMs, (shard, at, lastUseMs) => {
      if (lastUseMs === latest) ties -= 1;
      if (shard.isSized(at) && (lastUseMs < latest || (lastUseMs === latest && ties >= 0)))
        found.push({ digest: shard.digestAt(at), lastUseMs });
      return limitMs;
    });
    if (this.#invalidations !== invalidations) return;
    this.#found = found.sort((one, other) => one.lastUseMs - other.lastUseMs);
    this.#next = 0;
  }

  async #scan(
    limitMs: number,
    see: (shard: UseShard, position: number, lastUseMs: number) => number,
  ): Promise<void> {
    let limit = limitMs;
    let sliceEnd = performance.now() + sliceMs;
    for (const shard of this.#table.parts()) {
      limit = shard.scanBelow(limit, (lastUseMs, at) => see(shard, at, lastUseMs));
      if (performance.now() < sliceEnd) continue;
      await nextTurn();
      sliceEnd = performance.now() + sliceMs;
    }
  }
}
