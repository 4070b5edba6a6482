/**
 * Several URLs within one operation: in their order, each with an equal share of the time that is left, so that a silent
 * first one leaves the others their time. Transport errors, 5xx and 429 fail over to the next URL; any other answer is final.
 */
import { UpstreamError, type UpstreamFailure } from '../../registry/upstream-error.ts';

export interface FailoverOptions {
  /** Of the whole operation. */
  readonly timeoutMs: number;
  now(): number;
}

/** `mismatch` too: bytes that aren't the content (a portal's page) are no answer. */
const failingOver: ReadonlySet<UpstreamFailure> = new Set([
  'unreachable',
  'timeout',
  'breaker',
  'paused',
  'limited',
  'mismatch',
]);

/** Whether the next URL is to be asked. */
export function failsOver(error: unknown): error is UpstreamError {
  if (!(error instanceof UpstreamError)) return false;
  if (error.failure !== 'status') return failingOver.has(error.failure);
  const status = error.upstreamStatus ?? 0;
  // as `status`, these are the word of a store that a redirect led to or of a proxy, not the registry's
  return status >= 500 || status === 401 || status === 403 || status === 407;
}

/** The registry's word about the content: no other URL is asked. A range that can't be given isn't one. */
export function isRefusal(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && error.failure !== 'range' && !failsOver(error);
}

/** The time of one operation over several URLs. */
export class FailoverClock {
  readonly #options: FailoverOptions;
  #endsAtMs: number;
  #queuedAtMs: number | undefined;

  constructor(options: FailoverOptions) {
    this.#options = options;
    this.#endsAtMs = options.now() + options.timeoutMs;
  }

  /** For one of `urlsLeft` URLs, this one included. In ms, at least 1. */
  shareMs(urlsLeft: number): number {
    const { now, timeoutMs } = this.#options;
    return Math.max(1, Math.floor(Math.min(this.#endsAtMs - now(), timeoutMs) / urlsLeft));
  }

  /** The operation waits in a queue of our own, or no longer: the time stands still meanwhile. */
  queued(isWaiting: boolean): void {
    const nowMs = this.#options.now();
    if (this.#queuedAtMs !== undefined) this.#endsAtMs += Math.max(0, nowMs - this.#queuedAtMs);
    this.#queuedAtMs = isWaiting ? nowMs : undefined;
  }

  get isOver(): boolean {
    return this.#options.now() >= this.#endsAtMs;
  }
}

/** Errors: the one that ends it; when all have failed over, the most telling one. */
export async function failOver<Member, Result>(
  members: readonly Member[],
  options: FailoverOptions,
  ask: (member: Member, timeoutMs: number) => Promise<Result>,
): Promise<Result> {
  const clock = new FailoverClock(options);
  const failures: UpstreamError[] = [];
  for (const [index, member] of members.entries()) {
    if (index > 0 && clock.isOver) break;
    try {
      return await ask(member, clock.shareMs(members.length - index));
    } catch (error) {
      if (!failsOver(error)) throw error;
      failures.push(error);
    }
  }
  throw mostTelling(failures);
}

/** An answer says more than that a URL wasn't asked. */
function mostTelling(failures: readonly UpstreamError[]): UpstreamError {
  const wasAsked = failures.find(({ failure }) => failure !== 'breaker' && failure !== 'paused');
  const told = wasAsked ?? failures.find(({ failure }) => failure === 'paused') ?? failures[0];
  if (told === undefined) throw new Error('an upstream needs at least one URL');
  return told;
}
