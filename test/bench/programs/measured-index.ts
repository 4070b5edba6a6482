/** An LRU index as `million-index` measures it, and the embedded one as such. */
import { EmbeddedLru } from '../../../src/lru/index/embedded-lru.ts';
import type { LoadableLru, Lru } from '../../../src/lru/lru.ts';

export interface MeasuredIndex {
  readonly lru: Lru & LoadableLru;
  /** Resolves when Redis, if there is one, holds what the index does. */
  settle(): Promise<void>;
  /** As after an absence of Redis: the next `settle` compares everything. */
  doubt(): void;
  close(): Promise<void>;
}

export function openEmbeddedIndex(): MeasuredIndex {
  const lru = new EmbeddedLru({ now: Date.now });
  return { lru, settle: async () => {}, doubt: () => {}, close: () => lru.close() };
}
