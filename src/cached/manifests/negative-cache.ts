/**
 * Memory of missing tags: clients ask for signatures at every pull, and most images have none. A miss is
 * remembered for `ttlMs`, and after that still answers while the upstream can't be asked.
 */
import { LRUCache } from 'lru-cache';
import type { Tag } from '../../oci/name.ts';

const maxEntries = 10_000;

export class NegativeCache {
  readonly #seen = new LRUCache<string, number>({ max: maxEntries });
  readonly #ttlMs: number;
  readonly #now: () => number;

  constructor(ttlMs: number, now: () => number) {
    this.#ttlMs = ttlMs;
    this.#now = now;
  }

  /** When it was missed: `fresh` within the ttl, `stale` after it. */
  get(key: string): { readonly kind: 'fresh' | 'stale'; readonly at: number } | undefined {
    const at = this.#seen.get(key);
    if (at === undefined) return undefined;
    const ageMs = this.#now() - at;
    return { kind: ageMs >= 0 && ageMs < this.#ttlMs ? 'fresh' : 'stale', at }; // a clock may be set back
  }

  remember(key: string): void {
    this.#seen.set(key, this.#now());
  }

  forget(key: string): void {
    this.#seen.delete(key);
  }
}

/** The tags that clients ask for on the off-chance: the referrers fallback tag and what is built on it. */
export function isDiscoveryTag(tag: Tag): boolean {
  return /^sha(?:256|512)-/.test(tag) || tag.endsWith('.sig');
}
