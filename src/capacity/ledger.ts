/** What is on disk and what was promised, in bytes. Each call takes effect at once; nothing here waits or knows a limit. */

import type { Lru } from '../lru/lru.ts';
import type { Digest } from '../oci/digest.ts';
import { PartialList } from './partial-list.ts';
import type { Pins } from './pin-notice.ts';

/** Room somebody asks for. */
export interface Wish {
  readonly bytes: number;
  /** What it is for: a partial of that digest becomes part of it. */
  readonly digest: Digest | undefined;
}

export class Ledger {
  readonly partials = new PartialList();
  readonly #lru: Lru;
  readonly #pins: Pins | undefined;
  manifestBytes = 0;
  reservedBytes = 0;

  constructor(lru: Lru, pins?: Pins) {
    this.#lru = lru;
    this.#pins = pins;
  }

  /** What an eviction could take at most. */
  get evictableBytes(): number {
    return Math.max(0, this.#lru.bytes - (this.#pins?.bytes ?? 0)) + this.partials.bytes;
  }

  /** What stays, whatever is evicted. */
  get fixedBytes(): number {
    return this.totalBytes - this.evictableBytes;
  }

  get heldBytes(): number {
    return this.#lru.bytes + this.partials.bytes + this.manifestBytes;
  }

  get totalBytes(): number {
    return this.heldBytes + this.reservedBytes;
  }

  /** What the wish adds to the total. */
  cost(wish: Wish): number {
    return wish.bytes - (wish.digest === undefined ? 0 : this.partials.bytesOf(wish.digest));
  }

  /** What all of them add. */
  costOf(wishes: readonly Wish[]): number {
    return wishes.reduce((sum, wish) => sum + Math.max(0, this.cost(wish)), 0);
  }

  fits(wish: Wish, limitBytes: number): boolean {
    return this.totalBytes + this.cost(wish) <= limitBytes;
  }

  /** Were everything evicted. Without this question, a blob that can't fit would empty the cache for nothing. */
  couldFit(bytes: number, limitBytes: number): boolean {
    return this.fixedBytes + bytes <= limitBytes;
  }

  /** A blob has come to its place. */
  keepBlob(digest: Digest, size: number): void {
    this.partials.delete(digest);
    this.#lru.add(digest, size);
    this.#pins?.held(digest, size);
  }

  book(wish: Wish): void {
    this.reservedBytes += wish.bytes;
    if (wish.digest !== undefined) this.partials.delete(wish.digest);
  }
}
