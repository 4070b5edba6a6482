/**
 * What this node says that it holds: hints for the others, sent in batches behind everything else, never waited for. What
 * was used lately is kept in mind (bounded), so that a Redis that has lost the hints gets them again; what isn't used is
 * simply found by nobody until it is.
 */
import type { Digest } from '../../oci/digest.ts';
import type { FleetKeys } from './fleet-keys.ts';
import type { FleetRedis } from './fleet-redis.ts';

export interface HoldersOptions {
  readonly redis: FleetRedis;
  readonly keys: FleetKeys;
  readonly node: string;
  isHeld(digest: Digest): Promise<boolean>;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Hints are forgotten that long after they were last given. */
export const holderTtlMs = 7 * 24 * 3600_000;
/** A hint of something in use is given again, so that it doesn't expire. */
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

  /** Used just now; whether it is held is looked at before it is announced. Synchronous, no I/O. */
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
    if (this.#toRemove.size > maxKnown) this.#toRemove.clear(); // Redis is away for long: wrong hints are found out
    this.#sendSoon();
  }

  /** Redis has lost what it knew, or was away: everything that is kept in mind is announced again. */
  announceAll(): void {
    for (const digest of this.#known.keys()) this.#toAdd.add(digest);
    this.#sendSoon();
  }

  /** Idempotent. Waits for the batch that is under way. */
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
        this.#toAdd.clear(); // `announceAll` comes with its return
        return;
      }
      if (isAdding) for (const digest of batch) if (this.#known.has(digest)) this.#known.set(digest, now());
    }
  }

  /** A manifest marks a use of all its layers, also of those that aren't here. */
  async #held(digests: readonly Digest[]): Promise<Digest[]> {
    const held: Digest[] = [];
    for (const digest of digests) {
      if (await this.#options.isHeld(digest).catch(() => false)) held.push(digest);
      else this.#known.delete(digest);
    }
    return held;
  }
}
