/**
 * Tells the copy of the LRU index in Redis what changed: removed blobs from a bounded set, used and added ones by their marks
 * in the table, so that neither many uses nor a long absence of Redis cost memory. `reconcile` compares everything.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Digest, digestOfKey, keyOf } from '../../oci/digest.ts';
import type { EmbeddedLru } from '../index/embedded-lru.ts';
import { copied, inOrder, inSizes, type UseShard, type UseTable } from '../index/use-table.ts';
import type { LruEntry } from '../lru.ts';
import type { RedisCounts, RedisEntries, Row } from './redis-entries.ts';

/** Blobs per script: Redis takes some milliseconds for it. */
const batchSize = 500;
const maxRemoved = 10_000;
const sliceMs = 5;
/** Blobs may come and go all the time; after so many attempts something else is wrong. */
const maxAttempts = 50;

export class RedisChanges {
  readonly #table: UseTable;
  readonly #index: RedisEntries;
  #removed = new Set<Digest>();
  #isLost = false;

  constructor(table: UseTable, index: RedisEntries) {
    this.#table = table;
    this.#index = index;
  }

  /** More blobs were removed than are remembered: only a reconciliation finds them. */
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

  /** For a Redis of unknown content: no blob counts as copied, and `reconcile` finds the removed ones. */
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
   * Sends all changes. Resolves with the counts in Redis after that, or undefined when blobs came or went meanwhile and the
   * counts can't be compared. Adds the number of blobs that were put to `sent`.
   */
  async send(sent: { blobs: number }): Promise<RedisCounts | undefined> {
    const { changes } = this.#table;
    await this.sendRemovals();
    let batch: LruEntry[] = [];
    const put = async (): Promise<void> => {
      sent.blobs += batch.length;
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
    for (const shard of this.#table.shards()) {
      if (!shard.isEmpty) await visit(shard);
      if (performance.now() < sliceEnd) continue;
      await nextTurn();
      sliceEnd = performance.now() + sliceMs;
    }
  }
}

/** Marks them as copied: later changes come with the next call. */
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

export interface ReconciliationOptions {
  readonly local: EmbeddedLru;
  readonly index: RedisEntries;
  readonly changes: RedisChanges;
  /** Milliseconds since the epoch. */
  now(): number;
  readonly signal: AbortSignal;
}

export interface Reconciled {
  /** Entries of unknown blobs. */
  readonly dropped: number;
  /** Blobs whose entry was absent or wrong. */
  readonly put: number;
}

/**
 * Makes Redis hold what the store holds: drops entries of unknown blobs, puts missing ones, corrects sizes and their sum. A
 * later last use in Redis, from before a restart, is taken over. It goes page by page and yields in between; changes
 * meanwhile are sent at the end. Errors: those of Redis; the signal's reason; foreign data. Redis may then hold anything.
 */
export async function reconcile(options: ReconciliationOptions): Promise<Reconciled> {
  const { local, index, changes, signal } = options;
  await index.check();
  await changes.forget();
  await index.settle(0); // a sum that is not a number would fail every change
  // At once, so that one page is parsed while the other is on its way. If one fails, the other is still awaited.
  const results = await Promise.allSettled([
    dropUnknown(options, index.lastUses(), row => markLastUse(row, options)),
    dropUnknown(options, index.sizes(), row => markSize(row, local)),
  ]);
  let dropped = 0;
  for (const result of results) {
    if (result.status === 'rejected') throw result.reason;
    dropped = Math.max(dropped, result.value); // most are in both
  }
  const sent = { blobs: 0 };
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    signal.throwIfAborted();
    const before = await changes.send(sent);
    const { bytes, count } = local;
    if (before === undefined || changes.removals > 0) continue;
    const { lastUses, sizes } = await index.settle(bytes);
    if (lastUses === count && sizes === count) return { dropped, put: sent.blobs };
    throw new Error(`Redis holds ${lastUses} last uses and ${sizes} sizes of ${count} blobs`);
  }
  throw new Error(`blobs came and went during each of ${maxAttempts} attempts`);
}

async function dropUnknown(
  { index, signal }: ReconciliationOptions,
  pages: AsyncIterable<readonly Row[]>,
  isKnown: (row: Row) => boolean,
): Promise<number> {
  let dropped = 0;
  for await (const rows of pages) {
    signal.throwIfAborted();
    const unknown = rows.filter(row => !isKnown(row)).map(([key]) => key);
    dropped += unknown.length;
    if (unknown.length > 0) await index.drop(unknown);
  }
  return dropped;
}

/** False: the entry must go. So must a time in the future, because later uses would never correct it. */
function markLastUse([key, text]: Row, { local, now }: ReconciliationOptions): boolean {
  const digest = digestOfKey(key);
  const use = digest === undefined ? undefined : local.table.get(digest);
  const lastUseMs = Number(text);
  if (digest === undefined || use?.size === undefined || !(lastUseMs <= now())) return false;
  if (lastUseMs > use.lastUseMs) local.raise(digest, lastUseMs);
  if (lastUseMs >= use.lastUseMs) local.table.mark(digest, inOrder);
  return true;
}

/** False: the entry must go. */
function markSize([key, text]: Row, local: EmbeddedLru): boolean {
  const digest = digestOfKey(key);
  const use = digest === undefined ? undefined : local.table.get(digest);
  if (digest === undefined || use?.size === undefined) return false;
  if (text === String(use.size)) local.table.mark(digest, inSizes);
  return true;
}
