/**
 * Keeps the copy of the LRU index in Redis. Once a second it sends what was used, added and removed, and compares the counts.
 * When they differ, at the start and after an absence of Redis, it reconciles everything. No request waits for it.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { EmbeddedLru } from '../index/embedded-lru.ts';
import type { RedisCounts, RedisEntries } from './redis-entries.ts';
import { RedisChanges, reconcile } from './redis-reconciliation.ts';

export interface RedisCopyOptions {
  readonly index: RedisEntries;
  /** False while the connection is known to be unusable. */
  isReachable(): boolean;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** The pinned digests, read at the time of sending. */
export interface PinSource {
  readonly digests: Iterable<Digest>;
}

const everyMs = 1000;
const maxRetryMs = 2000;
/** The delay before a retry is also at least this many times as long as the attempt, so that a Redis that fails is not kept busy. */
const retryShare = 4;
/** So many removals are sent at once instead of within a second. */
const manyRemovals = 500;

export class RedisCopy {
  readonly #local: EmbeddedLru;
  readonly #options: RedisCopyOptions;
  readonly #changes: RedisChanges;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  /** The store was read: the local index is the truth. */
  #isLoaded = false;
  #isInStep = false;
  #pins: PinSource = { digests: [] };
  #arePinsSent = false;
  #reason: string | undefined;
  #failures = 0;
  #retryAtMs = -Infinity;
  #running: Promise<void> | undefined;

  constructor(local: EmbeddedLru, options: RedisCopyOptions) {
    this.#local = local;
    this.#options = options;
    this.#changes = new RedisChanges(local.table, options.index);
    this.#timer = setInterval(() => void this.#run(), everyMs).unref();
  }

  /** Redis holds what this process holds, except for the uses of the last second. */
  get isInStep(): boolean {
    return this.#isInStep && this.#options.isReachable();
  }

  /** Reachable, and the last attempt didn't fail. */
  get isUp(): boolean {
    return this.#options.isReachable() && this.#reason === undefined;
  }

  loaded(): void {
    this.#isLoaded = true;
    this.wake();
  }

  removed(digest: Digest): void {
    if (!this.#isLoaded) return;
    this.#changes.removed(digest);
    if (this.#changes.removals >= manyRemovals) void this.#run();
  }

  setPins(pins: PinSource): void {
    this.#pins = pins;
    this.#arePinsSent = false;
  }

  pinsChanged(): void {
    this.#arePinsSent = false;
  }

  /** The connection was lost or came back: nothing is known of what Redis holds. */
  wake(): void {
    this.#isInStep = false;
    this.#retryAtMs = -Infinity;
    void this.#run();
  }

  /** Resolves when Redis holds what this process holds now. Errors: why it can't. */
  async sync(): Promise<void> {
    await this.#running;
    this.#retryAtMs = -Infinity;
    await this.#run();
    if (!this.isInStep) throw new Error(this.#reason ?? 'Redis is away');
  }

  /** So that Redis doesn't name removed blobs as the coldest. */
  async sendRemovals(): Promise<void> {
    if (this.#changes.removals > 0) await this.#changes.sendRemovals();
  }

  /** Idempotent. Sends the last uses if Redis answers. */
  async close(): Promise<void> {
    if (this.#controller.signal.aborted) return;
    clearInterval(this.#timer);
    await this.#running;
    if (this.isInStep) await this.#run();
    this.#controller.abort(new Error('the LRU index was closed'));
    await this.#running;
  }

  #run(): Promise<void> {
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #work(): Promise<void> {
    if (!this.#isLoaded || this.#controller.signal.aborted || !this.#options.isReachable()) return;
    if (!this.#isInStep && performance.now() < this.#retryAtMs) return;
    const since = performance.now();
    try {
      if (this.#isInStep && !this.#changes.isLost) await this.#send();
      else await this.#reconcile();
      if (!this.#arePinsSent) await this.#sendPins();
      this.#failures = 0;
      this.#reason = undefined;
    } catch (error) {
      this.#failed(error, performance.now() - since);
    }
  }

  async #send(): Promise<void> {
    const counts = await this.#changes.send({ blobs: 0 });
    if (counts !== undefined && !this.#isComplete(counts))
      throw new Error('the LRU index in Redis was changed by another client, or a part of it is lost');
  }

  async #sendPins(): Promise<void> {
    this.#arePinsSent = true;
    await this.#options.index.setPins(this.#pins.digests);
  }

  async #reconcile(): Promise<void> {
    const { index, logger, now } = this.#options;
    const local = this.#local;
    const since = performance.now();
    const { signal } = this.#controller;
    const { dropped, put } = await reconcile({ local, index, changes: this.#changes, now, signal });
    this.#isInStep = true;
    this.#arePinsSent = false;
    const ms = Math.round(performance.now() - since);
    logger.info('the LRU index in Redis is reconciled', { blobs: local.count, dropped, put, ms });
  }

  /** Valid right after the answer, because nothing changed in the table since the request. */
  #isComplete({ lastUses, sizes, bytes }: RedisCounts): boolean {
    const { count, bytes: expected } = this.#local;
    return lastUses === count && sizes === count && bytes === expected;
  }

  /** Logs each reason once. The delay before the next attempt grows. */
  #failed(error: unknown, tookMs: number): void {
    this.#isInStep = false;
    this.#failures += 1;
    const retryMs = Math.min(maxRetryMs, 100 * 2 ** Math.min(this.#failures, 10));
    this.#retryAtMs = performance.now() + Math.max(retryMs, retryShare * tookMs);
    const reason = error instanceof Error ? error.message : String(error);
    if (this.#controller.signal.aborted || !this.#options.isReachable() || isAbsence(error)) return;
    if (reason !== this.#reason)
      this.#options.logger.warn('the LRU index goes on without its copy in Redis', { reason });
    this.#reason = reason;
  }
}

/** The connection watches itself and logs its own absence. */
function isAbsence(error: unknown): boolean {
  return error instanceof Error && 'kind' in error && /^(?:silent|unreachable)$/.test(String(error.kind));
}
