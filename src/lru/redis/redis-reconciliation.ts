/**
 * Makes the index in Redis what the store holds, whatever has become of it: entries without a file go, blobs without an
 * entry are put in, sizes and their sum are put right. A later last use in Redis (from before a restart of the mirror) is
 * taken over. Goes page by page, with others having their turn in between, and what changes meanwhile is told afterwards.
 */
import { digestOfKey } from '../index/digest-key.ts';
import type { EmbeddedLru } from '../index/embedded-lru.ts';
import { inOrder, inSizes } from '../index/use-shard.ts';
import type { RedisChanges } from './redis-changes.ts';
import type { RedisEntries, Row } from './redis-entries.ts';

export interface ReconciliationOptions {
  readonly local: EmbeddedLru;
  readonly index: RedisEntries;
  readonly changes: RedisChanges;
  /** Milliseconds since the epoch. */
  now(): number;
  readonly signal: AbortSignal;
}

export interface Reconciled {
  /** Entries that had to go, and blobs that had to be put in or right. */
  readonly dropped: number;
  readonly put: number;
}

/** Blobs may come and go all the time; after so many attempts something else is wrong. */
const maxAttempts = 50;

/** Errors: those of Redis; the signal's reason; foreign data under our keys. Redis may then hold anything. */
export async function reconcile(options: ReconciliationOptions): Promise<Reconciled> {
  const { local, index, changes, signal } = options;
  await index.check();
  await changes.forget();
  await index.settle(0); // a sum that is no number would fail every change
  // Both at once: one is taken apart while the other is on its way. Whatever becomes of one, the other is waited for.
  const strangers = await Promise.allSettled([
    dropStrangers(options, index.lastUses(), row => isLastUseRight(row, options)),
    dropStrangers(options, index.sizes(), row => isSizeKnown(row, local)),
  ]);
  let dropped = 0;
  for (const result of strangers) {
    if (result.status === 'rejected') throw result.reason;
    dropped = Math.max(dropped, result.value); // most stand in both
  }
  const told = { blobs: 0 };
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    signal.throwIfAborted();
    const before = await changes.send(told);
    const { bytes, count } = local;
    if (before === undefined || changes.removals > 0) continue;
    const { lastUses, sizes } = await index.settle(bytes);
    if (lastUses === count && sizes === count) return { dropped, put: told.blobs };
    throw new Error(`expected ${count} blobs in Redis, got ${lastUses} last uses and ${sizes} sizes`);
  }
  throw new Error('the store did not come to rest');
}

async function dropStrangers(
  { index, signal }: ReconciliationOptions,
  pages: AsyncIterable<readonly Row[]>,
  isOurs: (row: Row) => boolean,
): Promise<number> {
  let dropped = 0;
  for await (const rows of pages) {
    signal.throwIfAborted();
    const strangers = rows.filter(row => !isOurs(row)).map(([key]) => key);
    dropped += strangers.length;
    if (strangers.length > 0) await index.drop(strangers);
  }
  return dropped;
}

/** False: it has to go. A time from the future counts as foreign, for it would never be put right by later uses. */
function isLastUseRight([key, text]: Row, { local, now }: ReconciliationOptions): boolean {
  const digest = digestOfKey(key);
  const use = digest === undefined ? undefined : local.table.get(digest);
  const lastUseMs = Number(text);
  if (digest === undefined || use?.size === undefined || !(lastUseMs <= now())) return false;
  if (lastUseMs > use.lastUseMs) local.raise(digest, lastUseMs);
  if (lastUseMs >= use.lastUseMs) local.table.mark(digest, inOrder);
  return true;
}

function isSizeKnown([key, text]: Row, local: EmbeddedLru): boolean {
  const digest = digestOfKey(key);
  const use = digest === undefined ? undefined : local.table.get(digest);
  if (digest === undefined || use?.size === undefined) return false;
  if (text === String(use.size)) local.table.mark(digest, inSizes);
  return true;
}
