/**
 * When a run may ask its upstream. A tenth of the pull limit, at least one, stays for clients: a run stops before it is used up and goes on
 * when the window has passed. It also keeps to pauses that the upstream asks for, and to the run's own hours.
 */
import type { WarmWait } from '../admin/warm-admin.ts';
import { type DayWindow, dayTimeOf, isWithin, nextTimeAfter } from '../lib/day-time.ts';
import { Limit } from '../lib/limit.ts';
import { type Timers, wait } from '../lib/wait.ts';
import type { OriginHealth } from '../registry/origin.ts';
import type { RegistryReader } from '../registry/registry.ts';
import { UpstreamError } from '../registry/upstream-error.ts';

/** An upstream as runs see it, one at a time: two of them must not both take the last pull. */
export class WarmUpstream {
  readonly key: string;
  readonly registry: RegistryReader;
  readonly #health: () => OriginHealth;
  /** Requests that may count. */
  readonly counted = new Limit({ maxRunning: 1 });
  /** 429 in a row. */
  #refusals = 0;
  #refusedUntilMs = 0;

  constructor(key: string, registry: RegistryReader, health: () => OriginHealth) {
    this.key = key;
    this.registry = registry;
    this.#health = health;
  }

  /** Undefined: it may be asked. */
  waitsUntil(
    nowMs: number,
  ): { readonly why: 'pull-limit' | 'limited'; readonly untilMs: number } | undefined {
    const health = this.#health();
    const pausedMs = Math.max(health.pausedUntil('manifest') ?? 0, this.#refusedUntilMs);
    const { quota } = health;
    if (quota !== undefined && quota.untilMs > nowMs && quota.remaining <= reserveOf(quota.limit))
      return { why: 'pull-limit', untilMs: quota.untilMs };
    return pausedMs > nowMs ? { why: 'limited', untilMs: pausedMs } : undefined;
  }

  /** For people: `1 of 10 pulls left`. */
  get quotaText(): string {
    const { quota } = this.#health();
    return quota === undefined ? 'no pulls left' : `${quota.remaining} of ${quota.limit} pulls left`;
  }

  answered(): void {
    this.#refusals = 0;
  }

  /** It said 429. Without a word on when to come again, the pauses double. */
  refused(nowMs: number): void {
    this.#refusedUntilMs = nowMs + Math.min(firstPauseMs * 2 ** this.#refusals, longestPauseMs);
    this.#refusals += 1;
  }
}

const reservedShare = 0.1;
const firstPauseMs = 10_000;
const longestPauseMs = 10 * 60_000;
/** A clock that is set, and a machine that slept, are noticed so soon. */
const lookAgainMs = 60_000;

function reserveOf(limit: number): number {
  return Math.max(1, Math.ceil(limit * reservedShare));
}

export interface WarmClock {
  readonly timers: Timers;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Of one run and one upstream. */
export class WarmGate {
  readonly #upstream: WarmUpstream;
  readonly #window: DayWindow | undefined;
  readonly #clock: WarmClock;
  readonly #onChange: () => void;
  /** How many of the run's questions wait here. */
  #waiting = 0;
  #wait: WarmWait | undefined;

  constructor(
    upstream: WarmUpstream,
    window: DayWindow | undefined,
    clock: WarmClock,
    onChange: () => void = () => {},
  ) {
    this.#upstream = upstream;
    this.#window = window;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  get registry(): RegistryReader {
    return this.#upstream.registry;
  }

  /** What the run waits for here. */
  get wait(): WarmWait | undefined {
    return this.#waiting > 0 ? this.#wait : undefined;
  }

  /** `ask` when it may be asked for a manifest; again after 429. Errors: those of `ask`, the signal's reason. */
  async counted<T>(ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const upstream = this.#upstream;
    const once = async (): Promise<{ readonly value: T } | undefined> => {
      if (this.#isClosed()) return undefined;
      try {
        const value = await ask();
        upstream.answered();
        return { value };
      } catch (error) {
        if (!isLimited(error)) throw error;
        upstream.refused(this.#clock.now());
        return undefined;
      }
    };
    for (;;) {
      await this.#opened(() => this.#isClosed(), signal);
      const done = await upstream.counted.run(once);
      if (done !== undefined) return done.value;
    }
  }

  /** The upstream gave no answer because of its limit: the next question waits. */
  limited(): void {
    this.#upstream.refused(this.#clock.now());
  }

  /** Resolves within the hours of the run. Errors: the signal's reason. */
  async transfer(signal: AbortSignal): Promise<void> {
    await this.#opened(() => this.#outOfHours(), signal);
  }

  async #opened(closed: () => WarmWait | undefined, signal: AbortSignal): Promise<void> {
    for (let found = closed(); found !== undefined; found = closed()) {
      this.#wait = found;
      this.#waiting += 1;
      this.#onChange();
      try {
        const forMs = Date.parse(found.until) - this.#clock.now();
        await wait(this.#clock.timers, Math.max(1, Math.min(forMs, lookAgainMs)), signal);
      } finally {
        this.#waiting -= 1;
        this.#onChange();
      }
    }
    signal.throwIfAborted();
  }

  #isClosed(): WarmWait | undefined {
    const outside = this.#outOfHours();
    if (outside !== undefined) return outside;
    const found = this.#upstream.waitsUntil(this.#clock.now());
    if (found === undefined) return undefined;
    const { key, quotaText } = this.#upstream;
    const until = new Date(found.untilMs).toISOString();
    const message =
      found.why === 'pull-limit'
        ? `${key}: ${quotaText}, which stay for clients; goes on at ${until}`
        : `${key} asked for a pause; goes on at ${until}`;
    return { upstream: key, why: found.why, until, message };
  }

  #outOfHours(): WarmWait | undefined {
    const window = this.#window;
    const nowMs = this.#clock.now();
    if (window === undefined || isWithin(dayTimeOf(nowMs), window)) return undefined;
    const { key } = this.#upstream;
    const until = new Date(nextTimeAfter(nowMs, window.from)).toISOString();
    return {
      upstream: key,
      why: 'window',
      until,
      message: `${key}: outside of the window; goes on at ${until}`,
    };
  }
}

function isLimited(error: unknown): boolean {
  return error instanceof UpstreamError && (error.failure === 'limited' || error.failure === 'paused');
}
