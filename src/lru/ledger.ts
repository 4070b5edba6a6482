/** What is on disk and what was promised, in bytes. Each call takes effect at once; nothing here waits or knows a limit. */
import type { Digest } from '../oci/digest.ts';
import type { Lru } from './lru.ts';
import { PartialList } from './partial-list.ts';

/** Room somebody asks for. */
export interface Wish {
  readonly bytes: number;
  /** What it is for: a partial of that digest becomes part of it. */
  readonly digest: Digest | undefined;
}

export class Ledger {
  readonly partials = new PartialList();
  readonly #lru: Lru;
  manifestBytes = 0;
  reservedBytes = 0;

  constructor(lru: Lru) {
    this.#lru = lru;
  }

  /** What an eviction could take at most (pins and the like are not known here). */
  get evictableBytes(): number {
    return this.#lru.bytes + this.partials.bytes;
  }

  get heldBytes(): number {
    return this.evictableBytes + this.manifestBytes;
  }

  get totalBytes(): number {
    return this.heldBytes + this.reservedBytes;
  }

  /** What the wish adds to the total. */
  cost(wish: Wish): number {
    return wish.bytes - (wish.digest === undefined ? 0 : this.partials.bytesOf(wish.digest));
  }

  fits(wish: Wish, limitBytes: number): boolean {
    return this.totalBytes + this.cost(wish) <= limitBytes;
  }

  /** Were everything evicted. Without this question, a blob that can't fit would empty the cache for nothing. */
  couldFit(bytes: number, limitBytes: number): boolean {
    return this.totalBytes - this.evictableBytes + bytes <= limitBytes;
  }

  book(wish: Wish): void {
    this.reservedBytes += wish.bytes;
    if (wish.digest !== undefined) this.partials.delete(wish.digest);
  }
}
