/**
 * Tells Redis which blobs this node holds: hints for the others, sent in batches in the background. Blobs that were used lately are remembered
 * (bounded), so that a Redis that has lost the hints gets them again; other blobs are found by the other nodes once they are used.
 */
import type { Digest } from '../../oci/digest.ts';
import type { FleetKeys, FleetRedis } from './fleet-redis.ts';

export interface HoldersOptions {
  readonly redis: FleetRedis;
  readonly keys: FleetKeys;
  readonly node: string;
  isHeld(digest: Digest): Promise<boolean>;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** A hint expires this long after it was last given. */
export const holderTtlMs = 7 * 24 * 3600_000;
/** The hint of a blob in use is given again, so that it doesn't expire. */
const againAfterMs = 24 * 3600_000;
const maxKnown = 20_000;
const batchSize = 200;
const batchDelayMs = 50;

/** KEYS: holders of one blob each. ARGV: node, ttl in ms. */
const add = `
for _, key in ipairs(KEYS) do
  redis.call('SADD', key, ARGV[1])
  redis.call('PEXPIRE', key, ARGV[2])
end
return 1`;

/** KEYS: holders of one blob each. ARGV: node. */
const remove = `
for _, key in ipairs(KEYS) do redis.call('SREM', key, ARGV[1]) end
return 1`;

export class Holders {
  readonly #options: HoldersOptions;
  /** When each was last announced (0: not yet), in the order of their last use. */
  readonly #known = new Map<Digest, number>();
  readonly #toAdd = new Set<Digest>();
  readonly #toRemove = new Set<Digest>();
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  constructor(options: HoldersOptions) {
    this.#options = options;
  }

  /** Used just now. Whether it is held is checked before it is announced. Synchronous, no I/O. */
  note(digest: Digest): void {
    const announcedAt = this.#known.get(digest);
    if (announcedAt !== undefined) this.#known.delete(digest);
    this.#known.set(digest, announcedAt ?? 0);
    if (this.#known.size > maxKnown) {
      const [oldest] = this.#known.keys();
      if (oldest !== undefined) this.#known.delete(oldest);
    }
    if (announcedAt !== undefined && this.#options.now() - announcedAt < againAfterMs) return;
    this.#toRemove.delete(digest);
    this.#toAdd.add(digest);
    this.#sendSoon();
  }

  /** No longer held. Synchronous, no I/O. */
  forget(digest: Digest): void {
    this.#known.delete(digest);
    this.#toAdd.delete(digest);
    this.#toRemove.add(digest);
    if (this.#toRemove.size > maxKnown) this.#toRemove.clear(); // Redis is away for long: nodes notice wrong hints
    this.#sendSoon();
  }

  /** Redis has lost its hints, or was away: all remembered blobs are announced again. */
  announceAll(): void {
    for (const digest of this.#known.keys()) this.#toAdd.add(digest);
    this.#sendSoon();
  }

  /** Waits for the batch that is being sent. Idempotent. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    await this.#sending;
  }

  #sendSoon(): void {
    if (this.#timer !== undefined || this.#sending !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#sending = this.#send().finally(() => {
        this.#sending = undefined;
      });
    }, batchDelayMs).unref();
  }

  async #send(): Promise<void> {
    const { redis, keys, node, now } = this.#options;
    while (this.#toAdd.size > 0 || this.#toRemove.size > 0) {
      const isAdding = this.#toAdd.size > 0;
      const queue = isAdding ? this.#toAdd : this.#toRemove;
      const taken = [...queue.values()].slice(0, batchSize);
      for (const digest of taken) queue.delete(digest);
      const batch = isAdding ? await this.#held(taken) : taken;
      const values = isAdding ? [node, String(holderTtlMs)] : [node];
      const answer = await redis.run({
        lua: isAdding ? add : remove,
        keys: batch.map(digest => keys.holders(digest)),
        values,
      });
      if (answer === 'away') {
        this.#toAdd.clear(); // `announceAll` is called when Redis is back
        return;
      }
      if (isAdding) for (const digest of batch) if (this.#known.has(digest)) this.#known.set(digest, now());
    }
  }

  /** The use of a manifest is noted for all its layers, also for those that aren't held here. */
  async #held(digests: readonly Digest[]): Promise<Digest[]> {
    const held: Digest[] = [];
    for (const digest of digests) {
      if (await this.#options.isHeld(digest).catch(() => false)) held.push(digest);
      else this.#known.delete(digest);
    }
    return held;
  }
}
