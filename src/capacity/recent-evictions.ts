/**
 * What was evicted within the last week, and what of it was fetched again: the sign that the cache is too small. In memory, bounded; a
 * restart forgets it.
 */
import { ExpiringMap } from '../lib/expiring-map.ts';
import type { Digest } from '../oci/digest.ts';

export interface FetchedAgain {
  readonly digest: Digest;
  /** Of the evicted file. */
  readonly bytes: number;
  /** Milliseconds since the epoch. */
  readonly evictedAtMs: number;
  readonly fetchedAtMs: number;
}

const weekMs = 7 * 24 * 3_600_000;
const maxEvictions = 20_000;
const maxFetchedAgain = 100;

export class RecentEvictions {
  readonly #now: () => number;
  readonly #evicted: ExpiringMap<Digest, number>;
  #fetchedAgain: FetchedAgain[] = [];

  /** `now`: milliseconds since the epoch. */
  constructor(now: () => number) {
    this.#now = now;
    this.#evicted = new ExpiringMap({ maxEntries: maxEvictions, ttlMs: weekMs, now });
  }

  evicted(digest: Digest, bytes: number): void {
    this.#evicted.set(digest, bytes);
  }

  /** A download of it begins. */
  fetched(digest: Digest): void {
    const entry = this.#evicted.getExpired(digest);
    if (entry === undefined) return;
    this.#evicted.delete(digest);
    if (!entry.isFresh) return;
    const again = { digest, bytes: entry.value, evictedAtMs: entry.setAtMs, fetchedAtMs: this.#now() };
    this.#fetchedAgain = [again, ...this.#fetchedAgain].slice(0, maxFetchedAgain);
  }

  /** The newest first. */
  fetchedAgain(): readonly FetchedAgain[] {
    return this.#fetchedAgain;
  }
}
