/**
 * Lists of an upstream (tags, referrers) under the rules of a tag: fresh within their ttl, asked for once for all callers after
 * it, stale when that fails or takes too long (docs/behaviour.md, "Lists"). Held in memory, bounded in bytes, and kept by `kept`.
 */
import { LRUCache } from 'lru-cache';
import { SingleFlight } from '../../lib/single-flight.ts';
import { settleWithin } from '../../lib/wait.ts';
import type { Origin } from '../../registry/origin.ts';
import type { Answer, ReadOptions, StaleReason } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import { decide, staleAfter, type TagPolicy } from '../manifests/freshness.ts';

export interface HeldList<T> {
  readonly value: T;
  readonly checkedAt: number;
}

export type ListMemory<T> = LRUCache<string, HeldList<T>>;

export interface KeptLists<T> {
  read(key: string): Promise<HeldList<T> | undefined>;
  write(key: string, list: HeldList<T>): void;
  remove(key: string): void;
}

export interface HeldListsOptions<T> {
  readonly kind: 'tags' | 'referrers';
  readonly origin: Origin;
  readonly tags: TagPolicy;
  readonly offline: boolean;
  /** Shared by all upstreams. */
  readonly memory: ListMemory<T>;
  ttlMs(value: T): number;
  /** Lists from before a restart; absent: they are in memory only. Neither throws. */
  readonly kept?: KeptLists<T>;
  now(): number;
}

const memoryBytes = 32 * 1024 * 1024;
/** What an entry costs beside its key and value. */
const entryBytes = 200;

export function createListMemory<T>(
  bytesOf: (value: T) => number,
  maxBytes: number = memoryBytes,
): ListMemory<T> {
  return new LRUCache({
    maxSize: maxBytes,
    sizeCalculation: ({ value }, key) => entryBytes + key.length + bytesOf(value),
  });
}

export class HeldLists<T> {
  readonly #options: HeldListsOptions<T>;
  readonly #requests = new SingleFlight<HeldList<T>>();

  constructor(options: HeldListsOptions<T>) {
    this.#options = options;
  }

  peek(key: string): T | undefined {
    return this.#options.memory.peek(key)?.value;
  }

  /**
   * `ask` runs for all callers and gets what is held. `key` begins with the canonical name of the repository.
   * Errors: those of `ask`, unless what is held may go out instead.
   */
  async get(
    key: string,
    options: ReadOptions,
    ask: (held: T | undefined) => Promise<T>,
  ): Promise<{ readonly value: T; readonly answer: Answer }> {
    const { memory, tags, now } = this.#options;
    const held = memory.get(key) ?? (await this.#load(key));
    const decision = this.#decide(held, options);
    if (held !== undefined && decision.kind === 'fresh') return found(held, 'hit');
    if (held !== undefined && decision.kind === 'stale') return stale(held, decision.reason);
    const waitMs = Math.max(0, tags.checkTimeoutMs - this.#requests.ageMs(key));
    const request = this.#requests.run(key, options.signal, async () => {
      const list = { value: await ask(held?.value), checkedAt: now() };
      memory.set(key, list);
      this.#options.kept?.write(key, list);
      return list;
    });
    if (held !== undefined && decision.kind === 'check') {
      const isLate = (await settleWithin(request, waitMs)) === 'late'; // it goes on for the next client
      if (isLate && now() - held.checkedAt <= tags.staleIfErrorMs) return stale(held, 'slow');
    }
    try {
      const { value, joined } = await request;
      return found(value, joined ? 'joined' : 'miss');
    } catch (error) {
      options.signal.throwIfAborted();
      if (held === undefined) throw error;
      const reason = staleAfter(error, held.checkedAt, now(), tags);
      if (reason !== undefined) return stale(held, reason);
      if (error instanceof UpstreamError && error.failure === 'gone') this.#remove(key);
      throw error;
    }
  }

  #remove(key: string): void {
    this.#options.memory.delete(key);
    this.#options.kept?.remove(key);
  }

  async #load(key: string): Promise<HeldList<T> | undefined> {
    const { kept, memory } = this.#options;
    const list = await kept?.read(key);
    if (list !== undefined && !memory.has(key)) memory.set(key, list);
    return memory.get(key);
  }

  #decide(held: HeldList<T> | undefined, options: ReadOptions) {
    const { kind, origin, offline, tags, now } = this.#options;
    const health = origin.health();
    const upstream = { offline, away: health.away, pausedUntil: health.pausedUntil(kind) };
    const ttlMs = held === undefined ? 0 : this.#options.ttlMs(held.value);
    const bounds = { ttlMs, staleIfErrorMs: tags.staleIfErrorMs };
    return decide(held?.checkedAt, now(), bounds, upstream, options.mustCheck ?? false);
  }
}

function found<T>({ value, checkedAt }: HeldList<T>, outcome: Answer['outcome']) {
  return { value, answer: { outcome, checkedAt } };
}

function stale<T>({ value, checkedAt }: HeldList<T>, reason: StaleReason) {
  return { value, answer: { outcome: 'stale', checkedAt, stale: reason } as const };
}
