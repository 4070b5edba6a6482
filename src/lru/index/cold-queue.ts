/**
 * The coldest entries of a use table, in order. A scan of a million times takes some milliseconds, so one scan finds the
 * coldest few thousand. Later calls take from those and skip entries that were used or removed since: a use makes an entry
 * hotter than all that the scan found, so the order stays right.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import type { LruEntry } from '../lru.ts';
import type { UseShard, UseTable } from './use-table.ts';

interface Found {
  readonly digest: Digest;
  readonly lastUseMs: number;
}

/** Entries found at once. */
const batch = 4096;
const sliceMs = 5;
const tickMs = 1 / 1024;
/** A scan is repeated when something colder came into the table meanwhile, but not for ever. */
const maxScans = 4;

export class ColdQueue {
  readonly #table: UseTable;
  #found: readonly Found[] = [];
  #next = 0;
  #scanning: Promise<void> | undefined;
  #invalidations = 0;

  constructor(table: UseTable) {
    this.#table = table;
  }

  /** Call it when an entry came in, or got a time, that may be colder than those that were found. */
  invalidate(): void {
    this.#found = [];
    this.#next = 0;
    this.#invalidations += 1;
  }

  /** Coldest first; fewer than asked for only when there are no more. */
  async coldest(count: number): Promise<readonly LruEntry[]> {
    let entries = this.#collect(count);
    for (let scans = 0; entries.length < Math.min(count, this.#table.count) && scans < maxScans; scans += 1) {
      this.#scanning ??= this.#findColdest(Math.max(batch, 2 * count)).finally(() => {
        this.#scanning = undefined;
      });
      await this.#scanning;
      entries = this.#collect(count);
    }
    return entries;
  }

  /** Found entries that have not changed. Changed ones at the front are dropped for good. */
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

  async #findColdest(maxFound: number): Promise<void> {
    const invalidations = this.#invalidations;
    const times = new ColdestTimes(maxFound);
    await this.#scan(Infinity, (shard, at, lastUseMs) => {
      if (shard.isSized(at)) times.offer(lastUseMs);
      return times.latest;
    });
    const { latest } = times;
    let ties = maxFound - times.earlierThanLatest;
    const found: Found[] = [];
    // One tick above the latest: `scanBelow` excludes the limit itself.
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
    visit: (shard: UseShard, position: number, lastUseMs: number) => number,
  ): Promise<void> {
    let limit = limitMs;
    let sliceEnd = performance.now() + sliceMs;
    for (const shard of this.#table.shards()) {
      limit = shard.scanBelow(limit, (lastUseMs, at) => visit(shard, at, lastUseMs));
      if (performance.now() < sliceEnd) continue;
      await nextTurn();
      sliceEnd = performance.now() + sliceMs;
    }
  }
}

/** The earliest few of any number of times: a heap with the latest of them on top. */
export class ColdestTimes {
  readonly #heap: Float64Array;
  #length = 0;

  constructor(count: number) {
    this.#heap = new Float64Array(count);
  }

  /** The latest of those kept; Infinity while there is room for more. */
  get latest(): number {
    return this.#length < this.#heap.length ? Infinity : this.#at(0);
  }

  /** How many of those kept are earlier than the latest. */
  get earlierThanLatest(): number {
    const { latest } = this;
    return this.#heap.subarray(0, this.#length).reduce((sum, time) => sum + (time < latest ? 1 : 0), 0);
  }

  /** Times at or above `latest` change nothing. */
  offer(time: number): void {
    if (this.#length < this.#heap.length) this.#insert(time);
    else if (time < this.latest) this.#replaceLatest(time);
  }

  #at(position: number): number {
    return this.#heap[position] ?? Infinity;
  }

  #insert(time: number): void {
    let here = this.#length;
    this.#length += 1;
    while (here > 0) {
      const above = (here - 1) >> 1;
      if (this.#at(above) >= time) break;
      this.#heap[here] = this.#at(above);
      here = above;
    }
    this.#heap[here] = time;
  }

  #replaceLatest(time: number): void {
    let here = 0;
    for (;;) {
      const left = 2 * here + 1;
      if (left >= this.#length) break;
      const right = left + 1;
      const child = right < this.#length && this.#at(right) > this.#at(left) ? right : left;
      if (this.#at(child) <= time) break;
      this.#heap[here] = this.#at(child);
      here = child;
    }
    this.#heap[here] = time;
  }
}
