/**
 * Who asked for which blob a moment ago. The same client asking for the same whole blob again within a minute is what
 * docker does when a digest was wrong, so that blob deserves a look.
 */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';

const withinMs = 60_000;
const maxEntries = 20_000;

export class RepeatRequests {
  readonly #asked = new LRUCache<string, number>({ max: maxEntries });
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Notes the ask; true: it is not the first within a minute. */
  note(client: string, digest: Digest): boolean {
    const key = `${client} ${digest}`;
    const nowMs = this.#now();
    const before = this.#asked.get(key);
    this.#asked.set(key, nowMs);
    return before !== undefined && nowMs - before <= withinMs;
  }
}
