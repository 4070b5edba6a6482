/**
 * How the upstream's own host is doing, in one place: whether it is away (breaker), whether it asked to be left alone
 * (pause), what is left of its rate limit. Operations ask here before they dial, and tell here what came of it.
 */

import type { Timers } from '../../lib/timers.ts';
import type { OriginHealth } from '../../registry/origin.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Kind, Observer } from '../../telemetry/observer.ts';
import type { Deadline } from '../request/deadline.ts';
import type { Headers } from '../transport/transport.ts';
import { Breaker, type Trouble } from './breaker.ts';
import { RateLimitPauses } from './rate-limit-pause.ts';
import { RateLimitState } from './rate-limit-state.ts';

/** What the world is told about it: see `url-health.ts` for several URLs of one upstream. */
export type HealthObserver = Pick<Observer, 'upstreamRateLimit' | 'upstreamUp' | 'breakerOpen'>;

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

export class Health implements OriginHealth {
  readonly #options: HealthOptions;
  readonly #breaker: Breaker;
  readonly #pauses: RateLimitPauses;
  readonly #rateLimit: RateLimitState;
  /** Operations without an answer yet. */
  readonly #waiting = new Map<Deadline, Kind>();
  #isUp: boolean | undefined;

  constructor(options: HealthOptions) {
    this.#options = options;
    const { key, observer, timers, now } = options;
    this.#pauses = new RateLimitPauses(now);
    this.#rateLimit = new RateLimitState({ now, onReading: limit => observer.upstreamRateLimit(key, limit) });
    this.#breaker = new Breaker({
      timers,
      probe: options.probe,
      onOpen: why => this.#opened(why),
      onClose: () => this.#backAgain(),
    });
  }

  get away(): boolean {
    return this.#breaker.isOpen;
  }

  get quotaLow(): boolean {
    return this.#rateLimit.quotaLow;
  }

  pausedUntil(kind: Kind): number | undefined {
    return this.#pauses.pausedUntil(kind);
  }

  /** See `Breaker.answers`. */
  get answers(): number {
    return this.#breaker.answers;
  }

  /** Errors: `UpstreamError` paused, breaker. */
  admit(kind: Kind, ignoreBreaker: boolean): void {
    const until = this.#pauses.pausedUntil(kind);
    if (until !== undefined) {
      const retryAfterMs = until - this.#options.now();
      throw this.#error(
        kind,
        'paused',
        `not asked: it wants to be left alone for ${retryAfterMs} ms`,
        retryAfterMs,
      );
    }
    if (this.#breaker.isOpen && !ignoreBreaker) throw this.#awayError(kind);
  }

  /** While the host is found silent by another operation, this one needn't wait longer. The answer ends the watch. */
  watch(budget: Deadline, kind: Kind): () => void {
    this.#waiting.set(budget, kind);
    return () => this.#waiting.delete(budget);
  }

  /** An answer of the upstream's own host. */
  answered(status: number, headers: Headers): void {
    this.#rateLimit.read(headers);
    this.#breaker.answered(status);
    if (status < 500) this.#setUp(true);
  }

  failed(trouble: Trouble): void {
    this.#breaker.failed(trouble);
  }

  /** 429 for questions of this kind. Answers for how long they rest, in ms. */
  limited(kind: Kind, retryAfter: string | undefined): number {
    const pauseMs = this.#pauses.pause(kind, retryAfter);
    this.#options.logger.warn('the upstream limits us, its questions rest', {
      upstream: this.#options.key,
      host: this.#options.host,
      kind,
      pauseMs,
    });
    return pauseMs;
  }

  close(): void {
    this.#breaker.close();
  }

  #opened(why: Trouble): void {
    const { key, host, observer, logger } = this.#options;
    const message = 'the upstream is away, nothing waits for it until a probe succeeds';
    logger.warn(message, { upstream: key, host, why });
    observer.breakerOpen(key, true);
    this.#setUp(false);
    if (why !== 'silent') return;
    // they wait for the same silent host: a pull that asks several objects must not wait for each in turn
    for (const [budget, kind] of this.#waiting) budget.abort(this.#awayError(kind));
    this.#waiting.clear();
  }

  #backAgain(): void {
    const { key, host, observer, logger, onBack } = this.#options;
    logger.info('the upstream is back', { upstream: key, host });
    observer.breakerOpen(key, false);
    this.#setUp(true);
    onBack();
  }

  #setUp(isUp: boolean): void {
    if (this.#isUp === isUp) return;
    this.#isUp = isUp;
    this.#options.observer.upstreamUp(this.#options.key, isUp);
  }

  #awayError(kind: Kind): UpstreamError {
    return this.#error(
      kind,
      'breaker',
      'not asked: it failed a moment ago and has not answered a probe since',
    );
  }

  #error(kind: Kind, failure: 'breaker' | 'paused', message: string, retryAfterMs?: number): UpstreamError {
    const { key: upstream } = this.#options;
    return new UpstreamError({
      upstream,
      kind,
      failure,
      message: `${upstream} was ${message}`,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }
}
