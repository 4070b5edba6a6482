/**
 * How the upstream's own host is doing: whether it is away (breaker), whether it wants a pause (429), what is left of its
 * pull quota. Operations ask here before they dial, and report here what came of it.
 */
import type { Timers } from '../../lib/wait.ts';
import type { OriginHealth, QuotaReading } from '../../registry/origin.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Kind, Observer } from '../../telemetry/observer.ts';
import type { Deadline } from '../request/deadline.ts';
import type { Headers } from '../transport/transport.ts';
import { Breaker, isServerError, type Trouble } from './breaker.ts';
import { formatUsedUp, PullQuota, RateLimitPauses } from './rate-limit.ts';

export type HealthObserver = Pick<Observer, 'upstreamRateLimit' | 'upstreamUp' | 'breakerOpen'>;

/** What a request needs to know of its host, and reports to it. */
export interface HostHealth {
  /** How many answers there were: unchanged between two readings, the host was silent between them. */
  readonly answers: number;
  /** Errors: `UpstreamError` paused, breaker. */
  admit(kind: Kind, ignoreBreaker: boolean): void;
  /** Aborts `deadline` when another operation finds the host silent, until the function it gives is called. */
  watch(deadline: Deadline, kind: Kind): () => void;
  /** An answer of the upstream's own host. */
  answered(status: number, headers: Headers, kind: Kind): void;
  failed(trouble: Trouble, kind: Kind): void;
  /** 429 for requests of this kind. Gives the length of the pause in ms. */
  limited(kind: Kind, retryAfter: string | undefined): number;
}

export interface HealthOptions {
  readonly key: string;
  /** For the log: an upstream may have several. */
  readonly host: string;
  readonly observer: HealthObserver;
  readonly logger: Logger;
  readonly timers: Timers;
  now(): number;
  /** As in `BreakerOptions`. */
  probe(): Promise<number | undefined>;
  /** The host answers again. */
  onBack(): void;
}

export class Health implements HostHealth, OriginHealth {
  readonly #options: HealthOptions;
  readonly #breaker: Breaker;
  readonly #pauses: RateLimitPauses;
  readonly #quota: PullQuota;
  /** Operations without an answer yet. */
  readonly #waiting = new Map<Deadline, Kind>();
  #isUp: boolean | undefined;

  constructor(options: HealthOptions) {
    this.#options = options;
    const { key, observer, timers, now } = options;
    this.#pauses = new RateLimitPauses(now);
    this.#quota = new PullQuota(now, limit => observer.upstreamRateLimit(key, limit));
    this.#breaker = new Breaker({
      timers,
      probe: options.probe,
      onOpen: why => this.#opened(why),
      onClose: () => this.#closed(),
    });
  }

  get away(): boolean {
    return this.#breaker.isOpen;
  }

  get quotaLow(): boolean {
    return this.#quota.isLow;
  }

  get quota(): QuotaReading | undefined {
    return this.#quota.current;
  }

  pausedUntil(kind: Kind): number | undefined {
    return this.#pauses.pausedUntil(kind);
  }

  get answers(): number {
    return this.#breaker.answers;
  }

  admit(kind: Kind, ignoreBreaker: boolean): void {
    const { key, now } = this.#options;
    throwIfPaused(this.#pauses, key, kind, now);
    if (this.#breaker.isOpen && !ignoreBreaker) throw this.#createAwayError(kind);
  }

  watch(deadline: Deadline, kind: Kind): () => void {
    this.#waiting.set(deadline, kind);
    return () => this.#waiting.delete(deadline);
  }

  answered(status: number, headers: Headers, kind: Kind): void {
    this.#quota.read(headers);
    this.#breaker.answered(status, kind);
    if (!isServerError(status)) this.#setUp(true);
  }

  failed(trouble: Trouble, kind: Kind): void {
    this.#breaker.failed(trouble, kind);
  }

  limited(kind: Kind, retryAfter: string | undefined): number {
    const { key: upstream, host, logger } = this.#options;
    const pauseMs = this.#pauses.pause(kind, retryAfter);
    logger.warn('rate limited, pausing requests', { upstream, host, kind, pauseMs });
    return pauseMs;
  }

  close(): void {
    this.#breaker.close();
  }

  #opened(why: Trouble): void {
    const { key, host, observer, logger } = this.#options;
    logger.warn('upstream is away, requests fail until a probe succeeds', { upstream: key, host, why });
    observer.breakerOpen(key, true);
    this.#setUp(false);
    if (why !== 'silent') return;
    // they wait for the same silent host: a pull that asks several objects must not wait for each in turn
    for (const [deadline, kind] of this.#waiting) deadline.abort(this.#createAwayError(kind));
    this.#waiting.clear();
  }

  #closed(): void {
    const { key, host, observer, logger, onBack } = this.#options;
    logger.info('upstream is back', { upstream: key, host });
    observer.breakerOpen(key, false);
    this.#setUp(true);
    onBack();
  }

  #setUp(isUp: boolean): void {
    if (this.#isUp === isUp) return;
    this.#isUp = isUp;
    this.#options.observer.upstreamUp(this.#options.key, isUp);
  }

  #createAwayError(kind: Kind): UpstreamError {
    const { key: upstream } = this.#options;
    const message = `${upstream} was not asked: it failed a moment ago and has not answered a probe since`;
    return new UpstreamError({ upstream, kind, failure: 'breaker', message });
  }
}

/**
 * The health of a host for requests without credentials. Away is away for all; but pull limits and pauses are then those
 * of an address and not of the account: they must not hold up the requests that carry the credentials.
 */
export class AnonymousHealth implements HostHealth {
  readonly #key: string;
  readonly #health: Health;
  readonly #pauses: RateLimitPauses;
  readonly #now: () => number;

  constructor(key: string, health: Health, now: () => number) {
    this.#key = key;
    this.#health = health;
    this.#now = now;
    this.#pauses = new RateLimitPauses(now);
  }

  get answers(): number {
    return this.#health.answers;
  }

  admit(kind: Kind, ignoreBreaker: boolean): void {
    throwIfPaused(this.#pauses, this.#key, kind, this.#now);
    this.#health.admit(kind, ignoreBreaker);
  }

  watch(deadline: Deadline, kind: Kind): () => void {
    return this.#health.watch(deadline, kind);
  }

  answered(status: number, _headers: Headers, kind: Kind): void {
    this.#health.answered(status, {}, kind);
  }

  failed(trouble: Trouble, kind: Kind): void {
    this.#health.failed(trouble, kind);
  }

  limited(kind: Kind, retryAfter: string | undefined): number {
    return this.#pauses.pause(kind, retryAfter);
  }
}

/** Errors: `UpstreamError` paused. */
function throwIfPaused(pauses: RateLimitPauses, upstream: string, kind: Kind, now: () => number): void {
  const untilMs = pauses.pausedUntil(kind);
  if (untilMs === undefined) return;
  const message = formatUsedUp(upstream, untilMs);
  throw new UpstreamError({ upstream, kind, failure: 'paused', message, retryAfterMs: untilMs - now() });
}
