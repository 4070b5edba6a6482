/**
 * A count and a label per digest in flat arrays, for hundreds of thousands of them: open addressing with linear probing over 64 bits of
 * the digest, in 256 shards, so that no growth rebuilds all of it. Two digests that agree in these bits count as one, which costs a figure on
 * a page and nothing else.
 */
import { type Digest, hexOf } from '../../oci/digest.ts';

export interface DigestCount {
  readonly count: number;
  readonly label: number;
}

const shardCount = 256;
const firstCapacity = 16;
const maxFill = 0.7;
const maxCount = 0xffff;
/** The label stays as it is. */
const fixed = 0x80000000;

export class DigestTable {
  readonly #shards = Array.from({ length: shardCount }, () => new Shard());

  get size(): number {
    return this.#shards.reduce((sum, shard) => sum + shard.size, 0);
  }

  /** One more. The first label stays, unless a later one `isPreferred`; of these the first stays. */
  add(digest: Digest, label: number, isPreferred: boolean): void {
    const [high, low] = wordsOf(digest);
    this.#shards[high >>> 24]?.add(high, low, label, isPreferred);
  }

  get(digest: Digest): DigestCount | undefined {
    const [high, low] = wordsOf(digest);
    return this.#shards[high >>> 24]?.get(high, low);
  }
}

/** Digests that begin with the same byte. */
class Shard {
  #capacity = firstCapacity;
  #size = 0;
  /** Two words per entry. */
  #keys = new Uint32Array(2 * firstCapacity);
  #counts = new Uint16Array(firstCapacity);
  #labels = new Uint32Array(firstCapacity);

  get size(): number {
    return this.#size;
  }

  add(high: number, low: number, label: number, isPreferred: boolean): void {
    if (this.#size + 1 > this.#capacity * maxFill) this.#grow();
    const at = this.#find(high, low);
    const count = this.#counts[at] ?? 0;
    if (count === 0) {
      this.#keys[2 * at] = high;
      this.#keys[2 * at + 1] = low;
      this.#size += 1;
    }
    const isFixed = ((this.#labels[at] ?? 0) & fixed) !== 0;
    if (count === 0 || (isPreferred && !isFixed))
      this.#labels[at] = ((isPreferred ? fixed : 0) | label) >>> 0;
    this.#counts[at] = Math.min(maxCount, count + 1);
  }

  get(high: number, low: number): DigestCount | undefined {
    const at = this.#find(high, low);
    const count = this.#counts[at] ?? 0;
    return count === 0 ? undefined : { count, label: (this.#labels[at] ?? 0) & ~fixed };
  }

  /** Its position, or the free one where it would be. */
  #find(high: number, low: number): number {
    for (let at = low % this.#capacity; ; at = at + 1 === this.#capacity ? 0 : at + 1) {
      if (this.#counts[at] === 0) return at;
      if (this.#keys[2 * at] === high && this.#keys[2 * at + 1] === low) return at;
    }
  }

  #grow(): void {
    const [keys, counts, labels] = [this.#keys, this.#counts, this.#labels];
    this.#capacity *= 2;
    this.#keys = new Uint32Array(2 * this.#capacity);
    this.#counts = new Uint16Array(this.#capacity);
    this.#labels = new Uint32Array(this.#capacity);
    for (let from = 0; from < counts.length; from += 1) {
      if (counts[from] === 0) continue;
      const [high = 0, low = 0] = [keys[2 * from], keys[2 * from + 1]];
      const at = this.#find(high, low);
      this.#keys[2 * at] = high;
      this.#keys[2 * at + 1] = low;
      this.#counts[at] = counts[from] ?? 0;
      this.#labels[at] = labels[from] ?? 0;
    }
  }
}

function wordsOf(digest: Digest): readonly [number, number] {
  const hex = hexOf(digest);
  return [Number.parseInt(hex.slice(0, 8), 16), Number.parseInt(hex.slice(8, 16), 16)];
}
