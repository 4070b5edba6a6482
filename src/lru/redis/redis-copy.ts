/**
 * Keeps the copy of the LRU index in Redis: once a second it tells what was used, added and removed, and compares what
 * Redis then holds with what it should. Whenever that is in doubt (at start, after an absence, when Redis has lost keys of
 * ours), everything is reconciled. Redis being away costs nothing but that. Nobody waits for any of it.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { EmbeddedLru } from '../index/embedded-lru.ts';
import { RedisChanges } from './redis-changes.ts';
import type { RedisCounts, RedisEntries } from './redis-entries.ts';
import { reconcile } from './redis-reconciliation.ts';

export interface RedisCopyOptions {
  readonly local: EmbeddedLru;
  readonly index: RedisEntries;
  /** False while the connection is known to be of no use. */
  isReachable(): boolean;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

const everyMs = 1000;
const longestPauseMs = 2000;
/** And so many times as long as the attempt took: a Redis that loses it all the time isn't kept busy with it. */
const pauseShare = 4;
/** Removals that are told at once instead of within a second. */
const manyRemovals = 500;

export class RedisCopy {
  readonly #options: RedisCopyOptions;
  readonly #changes: RedisChanges;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  /** The store was read: the local index is the truth. */
  #isLoaded = false;
  #isInStep = false;
  #pinned: () => Iterable<Digest> = () => [];
  #arePinsTold = false;
  #reason: string | undefined;
  #failures = 0;
  #notBeforeMs = -Infinity;
  #passing: Promise<void> | undefined;

  constructor(options: RedisCopyOptions) {
    this.#options = options;
    this.#changes = new RedisChanges(options.local.table, options.index);
    this.#timer = setInterval(() => void this.#pass(), everyMs).unref();
  }

  /** Redis holds what this process does, but for the last second's uses. */
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
    if (this.#changes.removals >= manyRemovals) void this.#pass();
  }

  setPins(pinned: () => Iterable<Digest>): void {
    this.#pinned = pinned;
    this.#arePinsTold = false;
  }

  /** Redis went or came: whatever was known of it counts no longer. */
  wake(): void {
    this.#isInStep = false;
    this.#notBeforeMs = -Infinity;
    void this.#pass();
  }

  /** Resolves when Redis holds what this process does now. Errors: why it doesn't. */
  async sync(): Promise<void> {
    await this.#passing;
    this.#notBeforeMs = -Infinity;
    await this.#pass();
    if (!this.isInStep) throw new Error(this.#reason ?? 'Redis is away');
  }

  async sendRemovals(): Promise<void> {
    if (this.#changes.removals > 0) await this.#changes.sendRemovals();
  }

  /** Idempotent. Tells the last uses, if Redis is there. */
  async close(): Promise<void> {
    if (this.#controller.signal.aborted) return;
    clearInterval(this.#timer);
    await this.#passing;
    if (this.isInStep) await this.#pass();
    this.#controller.abort(new Error('the LRU index was closed'));
    await this.#passing;
  }

  #pass(): Promise<void> {
    this.#passing ??= this.#work().finally(() => {
      this.#passing = undefined;
    });
    return this.#passing;
  }

  async #work(): Promise<void> {
    if (!this.#isLoaded || this.#controller.signal.aborted || !this.#options.isReachable()) return;
    if (!this.#isInStep && performance.now() < this.#notBeforeMs) return;
    const since = performance.now();
    try {
      if (this.#isInStep && !this.#changes.isLost) await this.#tell();
      else await this.#reconcile();
      if (!this.#arePinsTold) await this.#tellPins();
      this.#failures = 0;
      this.#reason = undefined;
    } catch (error) {
      this.#failed(error, performance.now() - since);
    }
  }

  async #tell(): Promise<void> {
    const counts = await this.#changes.send({ blobs: 0 });
    if (counts !== undefined && !this.#isComplete(counts))
      throw new Error('Redis lost a part of the LRU index, or somebody changed it');
  }

  async #tellPins(): Promise<void> {
    this.#arePinsTold = true;
    await this.#options.index.setPins(this.#pinned());
  }

  async #reconcile(): Promise<void> {
    const { local, index, logger, now } = this.#options;
    const since = performance.now();
    const { signal } = this.#controller;
    const { dropped, put } = await reconcile({ local, index, changes: this.#changes, now, signal });
    this.#isInStep = true;
    this.#arePinsTold = false;
    const ms = Math.round(performance.now() - since);
    logger.info('the LRU index in Redis is reconciled', { blobs: local.count, dropped, put, ms });
  }

  /** Compared right after the answer came, when nothing has changed since it was asked for. */
  #isComplete({ lastUses, sizes, bytes }: RedisCounts): boolean {
    const { count, bytes: expected } = this.#options.local;
    return lastUses === count && sizes === count && bytes === expected;
  }

  /** One line per reason. What is gone from Redis for good is tried again less and less often. */
  #failed(error: unknown, tookMs: number): void {
    this.#isInStep = false;
    this.#failures += 1;
    const pauseMs = Math.min(longestPauseMs, 100 * 2 ** Math.min(this.#failures, 10));
    this.#notBeforeMs = performance.now() + Math.max(pauseMs, pauseShare * tookMs);
    const reason = error instanceof Error ? error.message : String(error);
    if (this.#controller.signal.aborted || !this.#options.isReachable() || isAbsence(error)) return;
    if (reason !== this.#reason)
      this.#options.logger.warn('the LRU index goes on without its copy in Redis', { reason });
    this.#reason = reason;
  }
}

/** Whoever watches the connection finds out whether it is one, and says so. */
function isAbsence(error: unknown): boolean {
  return error instanceof Error && 'kind' in error && /^(?:silent|unreachable)$/.test(String(error.kind));
}
