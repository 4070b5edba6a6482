/**
 * Size and last use of every evictable blob in 60 to 90 bytes each, in 256 shards per digest algorithm, so that no
 * operation rebuilds all of it. It keeps no order: `cold-queue.ts` scans for the coldest, which is cheaper than a list.
 */
import { algorithmOf, type Digest, type DigestAlgorithm, hexOf } from '../../oci/digest.ts';
import { inOrder, UseShard } from './use-shard.ts';

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

  /** False: unknown digest. */
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
        for (let at = shard.capacity - 1; at >= 0; at -= 1) {
          for (; shard.isTaken(at) && !shard.isSized(at); hasMore = true) shard.delete(at);
        }
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
