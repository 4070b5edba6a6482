/**
 * What has to be told to Redis: blobs removed since the last time (a bounded set), and blobs used or added (unmarked in the
 * table, so that neither many uses nor a long absence of Redis cost memory).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Digest } from '../../oci/digest.ts';
import { keyOf } from '../index/digest-key.ts';
import { copied, type UseShard } from '../index/use-shard.ts';
import type { UseTable } from '../index/use-table.ts';
import type { LruEntry } from '../lru.ts';
import type { RedisCounts, RedisEntries } from './redis-entries.ts';

/** Blobs per script: some milliseconds of Redis. */
const batchSize = 500;
const maxRemoved = 10_000;
const sliceMs = 5;

export class RedisChanges {
  readonly #table: UseTable;
  readonly #index: RedisEntries;
  #removed = new Set<Digest>();
  #isLost = false;

  constructor(table: UseTable, index: RedisEntries) {
    this.#table = table;
    this.#index = index;
  }

  /** More was removed than is remembered: only a look at everything helps. */
  get isLost(): boolean {
    return this.#isLost;
  }

  get removals(): number {
    return this.#removed.size;
  }

  removed(digest: Digest): void {
    if (this.#removed.size >= maxRemoved) {
      this.#isLost = true;
      this.#removed.clear();
    }
    this.#removed.add(digest);
  }

  /** Nothing is known of what Redis holds: all blobs count as not told, and removed ones are found by looking. */
  async forget(): Promise<void> {
    this.#removed.clear();
    this.#isLost = false;
    await this.#eachShard(shard => {
      for (let at = 0; at < shard.capacity; at += 1) if (shard.isTaken(at)) shard.setMarks(at, 0);
    });
  }

  async sendRemovals(): Promise<void> {
    const keys = Array.from(this.#removed, keyOf);
    this.#removed = new Set();
    for (let at = 0; at < keys.length; at += batchSize)
      await this.#index.drop(keys.slice(at, at + batchSize));
  }

  /**
   * Tells everything. Gives what Redis then holds, or undefined when blobs came or went meanwhile, so that it can't be
   * compared. How many were told is added to `told`.
   */
  async send(told: { blobs: number }): Promise<RedisCounts | undefined> {
    const { changes } = this.#table;
    await this.sendRemovals();
    let batch: LruEntry[] = [];
    const put = async (): Promise<void> => {
      told.blobs += batch.length;
      const full = batch;
      batch = [];
      if (full.length > 0) await this.#index.put(full);
    };
    await this.#eachShard(async shard => {
      takeUnmarked(shard, batch);
      while (batch.length >= batchSize) {
        const rest = batch.splice(batchSize);
        await put();
        batch = rest;
      }
    });
    await put();
    if (this.#table.changes !== changes) return undefined;
    const counts = await this.#index.counts();
    return this.#table.changes === changes ? counts : undefined;
  }

  async #eachShard(visit: (shard: UseShard) => Promise<void> | void): Promise<void> {
    let sliceEnd = performance.now() + sliceMs;
    for (const shard of this.#table.parts()) {
      if (!shard.isEmpty) await visit(shard);
      if (performance.now() < sliceEnd) continue;
      await nextTurn();
      sliceEnd = performance.now() + sliceMs;
    }
  }
}

/** Marks them: what changes afterwards comes the next time. */
function takeUnmarked(shard: UseShard, into: LruEntry[]): void {
  if (!shard.hasUnmarked) return;
  shard.hasUnmarked = false;
  for (let at = 0; at < shard.capacity; at += 1) {
    const size = shard.sizeAt(at);
    if (size === undefined || !shard.isTaken(at) || shard.marksAt(at) === copied) continue;
    into.push({ digest: shard.digestAt(at), size, lastUseMs: shard.lastUseAt(at) });
    shard.setMarks(at, copied);
  }
}
