/**
 * The health of a host as questions without credentials see and tell it. Away is away for all; but what the host says of
 * pull limits, and that it wants to be left alone, is said to an address and not to the account: it must not hold up the
 * questions that go with the credentials.
 */
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { Deadline } from '../request/deadline.ts';
import type { Trouble } from './breaker.ts';
import type { Health } from './health.ts';
import { RateLimitPauses } from './rate-limit-pause.ts';

/** What asking needs to know, and tells. */
export type HostHealth = Pick<Health, 'admit' | 'watch' | 'answers' | 'answered' | 'failed' | 'limited'>;

export class AnonymousHealth implements HostHealth {
  readonly #key: string;
  readonly #health: Health;
  readonly #pauses: RateLimitPauses;
  readonly #now: () => number;

  constructor(options: { readonly key: string; readonly health: Health; now(): number }) {
    this.#key = options.key;
    this.#health = options.health;
    this.#now = () => options.now();
    this.#pauses = new RateLimitPauses(this.#now);
  }

  get answers(): number {
    return this.#health.answers;
  }

  /** Errors: `UpstreamError` paused, breaker. */
  admit(kind: Kind, ignoreBreaker: boolean): void {
    const until = this.#pauses.pausedUntil(kind);
    if (until === undefined) {
      this.#health.admit(kind, ignoreBreaker);
      return;
    }
    throw new UpstreamError({
      upstream: this.#key,
      kind,
      failure: 'paused',
      message: `${this.#key} was not asked without credentials: it limits those questions`,
      retryAfterMs: until - this.#now(),
    });
  }

  watch(budget: Deadline, kind: Kind): () => void {
    return this.#health.watch(budget, kind);
  }

  answered(status: number): void {
    this.#health.answered(status, {});
  }

  failed(trouble: Trouble): void {
    this.#health.failed(trouble);
  }

  limited(kind: Kind, retryAfter: string | undefined): number {
    return this.#pauses.pause(kind, retryAfter);
  }
}
