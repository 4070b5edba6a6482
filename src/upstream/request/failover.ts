/**
 * The turns of several URLs within one operation: in their order, each with an equal share of the time that is left, so
 * that a silent first one leaves the others their time. Who fails by transport, 5xx or 429 hands on; any other answer is
 * the upstream's word and ends it.
 */
import { UpstreamError, type UpstreamFailure } from '../../registry/upstream-error.ts';

export interface FailoverOptions {
  /** Of the whole operation. */
  readonly budgetMs: number;
  now(): number;
}

/** `mismatch` too: bytes that aren't the content (a portal's page) are no answer. */
const handingOn: ReadonlySet<UpstreamFailure> = new Set([
  'unreachable',
  'timeout',
  'breaker',
  'paused',
  'limited',
  'mismatch',
]);

/** Whether the next URL is to be asked. */
export function handsOn(error: unknown): error is UpstreamError {
  if (!(error instanceof UpstreamError)) return false;
  if (error.failure !== 'status') return handingOn.has(error.failure);
  const status = error.upstreamStatus ?? 0;
  // as `status`, these are the word of a store behind a redirect or of a proxy, not the registry's
  return status >= 500 || status === 401 || status === 403 || status === 407;
}

/** The registry's word about the content: nobody else is asked. A range that can't be given isn't one. */
export function isRefusal(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && error.failure !== 'range' && !handsOn(error);
}

/** The time of one operation over `count` URLs. */
export class FailoverClock {
  readonly #options: FailoverOptions;
  readonly #deadline: number;

  constructor(options: FailoverOptions) {
    this.#options = options;
    this.#deadline = options.now() + options.budgetMs;
  }

  /** For one of `turnsLeft` turns, this one included. In ms, at least 1. */
  share(turnsLeft: number): number {
    const left = Math.min(this.#deadline - this.#options.now(), this.#options.budgetMs);
    return Math.max(1, Math.floor(left / turnsLeft));
  }

  get isOver(): boolean {
    return this.#options.now() >= this.#deadline;
  }
}

/** Errors: the one that ends it; when all have handed on, the most telling one. */
export async function failOver<Member, Result>(
  members: readonly Member[],
  options: FailoverOptions,
  ask: (member: Member, budgetMs: number) => Promise<Result>,
): Promise<Result> {
  const clock = new FailoverClock(options);
  const failures: UpstreamError[] = [];
  for (const [index, member] of members.entries()) {
    if (index > 0 && clock.isOver) break;
    try {
      return await ask(member, clock.share(members.length - index));
    } catch (error) {
      if (!handsOn(error)) throw error;
      failures.push(error);
    }
  }
  throw mostTelling(failures);
}

/** What was said now says more than that one wasn't asked. */
function mostTelling(failures: readonly UpstreamError[]): UpstreamError {
  const wasAsked = failures.find(({ failure }) => failure !== 'breaker' && failure !== 'paused');
  const told = wasAsked ?? failures.find(({ failure }) => failure === 'paused') ?? failures[0];
  if (told === undefined) throw new Error('expected at least one URL, got none');
  return told;
}
