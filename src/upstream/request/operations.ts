/**
 * One operation of the contract: a caller's signal, the memory of what failed a moment ago, and one budget for all that
 * the operation does.
 */

import type { Timers } from '../../lib/timers.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Kind } from '../../telemetry/observer.ts';
import { Deadline } from './deadline.ts';
import { failAs, type RecentFailures } from './recent-failures.ts';

export interface OperationsOptions {
  readonly key: string;
  readonly failures: RecentFailures;
  readonly timers: Timers;
  readonly budgetMs: number;
}

export interface Operation {
  readonly kind: Kind;
  /** What is asked about: a failure is remembered for it. */
  readonly subject: string;
  readonly signal: AbortSignal;
  /** Less than the whole time: others are to be asked too. */
  readonly budgetMs?: number | undefined;
  /** See `Question.ignoreBreaker`: not held up by the memory either. */
  readonly ignoreBreaker?: boolean;
  /** The work hands the budget on, with a body: it is not disposed of at the end unless the work fails. */
  readonly keepsBudget?: boolean;
}

export class Operations {
  readonly #options: OperationsOptions;

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  /** Errors: what `work` throws; the signal's reason; `UpstreamError` timeout when the budget runs out. */
  async run<T>(operation: Operation, work: (budget: Deadline) => Promise<T>): Promise<T> {
    const { kind, signal } = operation;
    const { failures, timers, key } = this.#options;
    const budgetMs = operation.budgetMs ?? this.#options.budgetMs;
    signal.throwIfAborted();
    const subject = `${kind} ${operation.subject}`;
    const failed = operation.ignoreBreaker ? undefined : failures.recall(subject);
    if (failed !== undefined) throw failAs(kind, failed, ' (a moment ago)');
    const message = `expected an answer of ${key} within ${budgetMs} ms, got none`;
    const expired = (): Error => new UpstreamError({ upstream: key, kind, failure: 'timeout', message });
    const budget = new Deadline({ budgetMs, timers, caller: signal, expired });
    let isKept = false;
    try {
      const result = await work(budget);
      failures.forget(subject);
      isKept = operation.keepsBudget === true;
      return result;
    } catch (error) {
      const failure: unknown = budget.signal.aborted ? budget.signal.reason : error;
      if (!signal.aborted) failures.remember(subject, failure);
      throw failure;
    } finally {
      if (!isKept) budget.dispose();
    }
  }
}
