/**
 * Size and last use of every evictable blob in 60 to 90 bytes each, in 256 shards per digest algorithm, so that no operation rebuilds
 * all of it. It keeps no order: `cold-queue.ts` scans for the coldest, which is cheaper than a list.
 */
import { algorithmOf, type Digest, type DigestAlgorithm, digestOfKey, hexOf } from '../../oci/digest.ts';

export interface Use {
  /** Bytes; undefined: not known yet. */
  readonly size: number | undefined;
  /** Milliseconds since the epoch. */
  readonly lastUseMs: number;
}

const shardsPerAlgorithm = 256;

/** All shards of one algorithm, and a buffer for the key of the current look-up. */
class Family {
  readonly shards: readonly UseShard[];
  readonly words: Int32Array;
  readonly #key: Buffer;

  constructor(keyBytes: number) {
    this.shards = Array.from({ length: shardsPerAlgorithm }, () => new UseShard(keyBytes / 4));
    this.words = new Int32Array(keyBytes / 4);
    this.#key = Buffer.from(this.words.buffer);
  }

  /** Writes the key into `words`. */
  shardOf(digest: Digest): UseShard {
    this.#key.write(hexOf(digest), 'hex');
    const shard = this.shards[this.#key[0] ?? 0];
    if (shard === undefined) throw new Error('expected a shard for every byte');
    return shard;
  }
}

export class UseTable {
  readonly #families: Readonly<Record<DigestAlgorithm, Family>> = {
    sha256: new Family(32),
    sha512: new Family(64),
  };
  #bytes = 0;
  #count = 0;
  #changes = 0;

  /** Sum of the known sizes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Entries with a size. */
  get count(): number {
    return this.#count;
  }

  /** Grows with every entry that is added, removed or gets another size. */
  get changes(): number {
    return this.#changes;
  }

  get(digest: Digest): Use | undefined {
    const { words, shard } = this.#look(digest);
    const at = shard.find(words);
    return at === -1 ? undefined : { size: shard.sizeAt(at), lastUseMs: shard.lastUseAt(at) };
  }

  /** False: unknown digest. */
  touch(digest: Digest, lastUseMs: number): boolean {
    const { words, shard } = this.#look(digest);
    const at = shard.find(words);
    if (at === -1) return false;
    shard.setLastUse(at, lastUseMs);
    shard.setMarks(at, shard.marksAt(at) & ~inOrder);
    return true;
  }

  /** Replaces an entry of the same digest. */
  set(digest: Digest, size: number | undefined, lastUseMs: number): void {
    this.delete(digest);
    const { words, shard } = this.#look(digest);
    shard.insert(words, size, lastUseMs);
    this.#account(size, 1);
  }

  delete(digest: Digest): boolean {
    const { words, shard } = this.#look(digest);
    const at = shard.find(words);
    if (at === -1) return false;
    this.#account(shard.sizeAt(at), -1);
    shard.delete(at);
    return true;
  }

  deleteUnsized(): void {
    for (const shard of this.shards()) {
      // A deletion may move another entry to its position, also from the first positions to the last ones.
      for (let hasMore = true; hasMore; ) {
        hasMore = false;
        for (let at = shard.capacity - 1; at >= 0; at -= 1)
          for (; shard.isTaken(at) && !shard.isSized(at); hasMore = true) shard.delete(at);
      }
    }
  }

  /** Adds marks. Unknown digests are ignored. */
  mark(digest: Digest, marks: number): void {
    const { words, shard } = this.#look(digest);
    const at = shard.find(words);
    if (at !== -1) shard.setMarks(at, shard.marksAt(at) | marks);
  }

  /** For scans of the whole table, which yield to the event loop between two shards. */
  *shards(): Generator<UseShard> {
    for (const { shards } of Object.values(this.#families)) yield* shards;
  }

  #look(digest: Digest): { readonly shard: UseShard; readonly words: Int32Array } {
    const family = this.#families[algorithmOf(digest)];
    return { shard: family.shardOf(digest), words: family.words };
  }

  #account(size: number | undefined, sign: 1 | -1): void {
    if (size === undefined) return;
    this.#bytes += sign * size;
    this.#count += sign;
    this.#changes += 1;
  }
}

/** Marks of an entry: the copy in Redis has its last use, its size, or both. */
export const inOrder = 1;
export const inSizes = 2;
export const copied = inOrder | inSizes;

/** A bit next to the marks: the position holds an entry. */
const taken = 4;
const firstCapacity = 16;
const growth = 1.5;
const maxFill = 0.8;

/**
 * Blobs whose digests begin with the same byte, in flat arrays with open addressing and linear probing. A position is valid until the
 * next `insert` or `delete`. Entries without a size are blobs that were used before the scan found their file.
 */
export class UseShard {
  /** 32-bit words of one key. */
  readonly #width: number;
  #capacity = 0;
  #count = 0;
  #keys = new Int32Array(0);
  #states = new Uint8Array(0);
  /** Infinity where no entry is, so that a scan for the coldest is one comparison each. */
  #lastUses = new Float64Array(0);
  /** Negative: not known yet. */
  #sizes = new Float64Array(0);
  /** Some entry may lack a mark. */
  hasUnmarked = false;

  constructor(width: number) {
    this.#width = width;
  }

  /** Positions are below this. */
  get capacity(): number {
    return this.#capacity;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  isTaken(position: number): boolean {
    return (this.#states[position] ?? 0) !== 0;
  }

  /** An entry is there, and its size is known. */
  isSized(position: number): boolean {
    return this.isTaken(position) && (this.#sizes[position] ?? 0) >= 0;
  }

  /** Bytes; undefined: not known yet. */
  sizeAt(position: number): number | undefined {
    const size = this.#sizes[position] ?? 0;
    return size < 0 ? undefined : size;
  }

  /** Milliseconds since the epoch. */
  lastUseAt(position: number): number {
    return this.#lastUses[position] ?? 0;
  }

  setLastUse(position: number, lastUseMs: number): void {
    this.#lastUses[position] = lastUseMs;
  }

  /** `visit` is called for every time below the limit, with or without a size, and returns the new limit. */
  scanBelow(limitMs: number, visit: (lastUseMs: number, position: number) => number): number {
    const lastUses = this.#lastUses;
    let limit = limitMs;
    for (let at = 0; at < lastUses.length; at += 1) {
      const lastUseMs = lastUses[at] ?? Infinity;
      if (lastUseMs < limit) limit = visit(lastUseMs, at);
    }
    return limit;
  }

  digestAt(position: number): Digest {
    const key = Buffer.from(this.#keys.buffer, position * this.#width * 4, this.#width * 4);
    const digest = digestOfKey(key);
    if (digest !== undefined) return digest;
    throw new Error(`no digest has a key of ${key.length} bytes`);
  }

  marksAt(position: number): number {
    return (this.#states[position] ?? 0) & copied;
  }

  setMarks(position: number, marks: number): void {
    this.#states[position] = taken | marks;
    if (marks !== copied) this.hasUnmarked = true;
  }

  /** The position; -1: not found. */
  find(key: Int32Array): number {
    if (this.#count === 0) return -1;
    for (let at = this.#home(key, 0); ; at = this.#next(at)) {
      if (!this.isTaken(at)) return -1;
      if (this.#holds(at, key)) return at;
    }
  }

  /** `key` must not be in the shard yet. */
  insert(key: Int32Array, size: number | undefined, lastUseMs: number): void {
    if (this.#count + 1 > this.#capacity * maxFill) this.#grow();
    this.#place(key, 0, size ?? -1, lastUseMs, 0);
    this.#count += 1;
    this.hasUnmarked = true;
  }

  /** Closes the gap, so that every entry is still found from its home position. */
  delete(position: number): void {
    let gap = position;
    for (let at = this.#next(gap); this.isTaken(at); at = this.#next(at)) {
      const home = this.#home(this.#keys, at * this.#width);
      const isReached = gap <= at ? gap < home && home <= at : gap < home || home <= at;
      if (isReached) continue;
      this.#move(at, gap);
      gap = at;
    }
    this.#states[gap] = 0;
    this.#lastUses[gap] = Infinity;
    this.#count -= 1;
  }

  /** From the second word: the keys of a shard share their first byte. */
  #home(keys: Int32Array, from: number): number {
    return ((keys[from + 1] ?? 0) >>> 0) % this.#capacity;
  }

  #next(position: number): number {
    return position + 1 === this.#capacity ? 0 : position + 1;
  }

  #holds(position: number, key: Int32Array): boolean {
    const from = position * this.#width;
    for (let word = 0; word < this.#width; word += 1) if (this.#keys[from + word] !== key[word]) return false;
    return true;
  }

  #place(keys: Int32Array, from: number, size: number, lastUseMs: number, marks: number): void {
    let at = this.#home(keys, from);
    while (this.isTaken(at)) at = this.#next(at);
    for (let word = 0; word < this.#width; word += 1)
      this.#keys[at * this.#width + word] = keys[from + word] ?? 0;
    this.#states[at] = taken | marks;
    this.#sizes[at] = size;
    this.#lastUses[at] = lastUseMs;
  }

  #move(from: number, to: number): void {
    this.#keys.copyWithin(to * this.#width, from * this.#width, (from + 1) * this.#width);
    this.#states[to] = this.#states[from] ?? 0;
    this.#sizes[to] = this.#sizes[from] ?? 0;
    this.#lastUses[to] = this.#lastUses[from] ?? 0;
  }

  #grow(): void {
    const [keys, states, sizes, lastUses] = [this.#keys, this.#states, this.#sizes, this.#lastUses];
    const length = this.#capacity;
    this.#capacity = Math.max(firstCapacity, Math.ceil(length * growth));
    this.#keys = new Int32Array(this.#capacity * this.#width);
    this.#states = new Uint8Array(this.#capacity);
    this.#sizes = new Float64Array(this.#capacity);
    this.#lastUses = new Float64Array(this.#capacity).fill(Infinity);
    for (let at = 0; at < length; at += 1) {
      const state = states[at] ?? 0;
      if (state !== 0) this.#place(keys, at * this.#width, sizes[at] ?? 0, lastUses[at] ?? 0, state & copied);
    }
  }
}
