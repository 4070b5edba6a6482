/**
 * The deadline of one operation of the contract, whatever it does in that time: queue, token, redirects, retry. Its signal
 * aborts with what the operation fails with: a timeout, the caller's own reason, or that the upstream was found away.
 */
import type { Timers } from '../../lib/wait.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { RecentFailures } from './recent-failures.ts';

export interface DeadlineOptions {
  readonly timeoutMs: number;
  readonly timers: Timers;
  /** The caller's signal: its abort is passed on with its own reason. Absent: only the time ends it. */
  readonly caller?: AbortSignal;
  /** Goes along with the requests to the upstream's own host. */
  readonly requestId?: string | undefined;
  /** What the operation fails with when the time is over. */
  expired(): Error;
}

export class Deadline {
  readonly signal: AbortSignal;
  readonly requestId: string | undefined;
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #stopClock: () => void;
  #isExpired = false;
  readonly #onCallerAbort = (): void => this.abort(this.#caller?.reason);

  constructor(options: DeadlineOptions) {
    this.signal = this.#controller.signal;
    this.#caller = options.caller;
    this.requestId = options.requestId;
    this.#stopClock = options.timers.after(options.timeoutMs, () => {
      this.#isExpired = !this.signal.aborted;
      this.abort(options.expired());
    });
    if (this.#caller?.aborted) this.#onCallerAbort();
    else this.#caller?.addEventListener('abort', this.#onCallerAbort, { once: true });
  }

  /** The time ran out; the caller did not leave. */
  get isExpired(): boolean {
    return this.#isExpired;
  }

  abort(reason: unknown): void {
    this.#stopClock();
    this.#controller.abort(reason);
  }

  /** The answer is here: from now on only the caller ends it. */
  settle(): void {
    this.#stopClock();
  }

  /** The operation is over and no longer listens to its caller. Idempotent. */
  dispose(): void {
    this.#stopClock();
    this.#caller?.removeEventListener('abort', this.#onCallerAbort);
  }
}

export interface Operation {
  readonly kind: Kind;
  /** The question, method included: a failure is remembered for it alone. */
  readonly subject: string;
  /** A question whose failure answers this one too: what GET is refused, HEAD need not ask. */
  readonly decidedBy?: string | undefined;
  readonly signal: AbortSignal;
  /** Less than the whole time: other URLs are to be asked too. */
  readonly timeoutMs?: number | undefined;
  /** Of the client's request that this is for. */
  readonly requestId?: string | undefined;
  /** See `RegistryRequest.ignoreBreaker`: not held up by remembered failures either. */
  readonly ignoreBreaker?: boolean;
  /** The work hands the deadline on with a body: it is not disposed of at the end unless the work fails. */
  readonly keepsDeadline?: boolean;
}

export interface OperationsOptions {
  readonly key: string;
  readonly failures: RecentFailures;
  readonly timers: Timers;
  readonly timeoutMs: number;
}

/** Runs operations, each under its deadline, and remembers what failed. */
export class Operations {
  readonly #options: OperationsOptions;

  constructor(options: OperationsOptions) {
    this.#options = options;
  }

  /** Errors: what the question failed with a moment ago. */
  throwIfFailed({
    kind,
    subject,
    decidedBy,
    ignoreBreaker = false,
  }: Pick<Operation, 'kind' | 'subject' | 'decidedBy' | 'ignoreBreaker'>): void {
    for (const asked of ignoreBreaker ? [] : [subject, decidedBy])
      if (asked !== undefined) this.#options.failures.throwIfFailed(`${kind} ${asked}`, kind);
  }

  /** Errors: what `work` throws; the signal's reason; `UpstreamError` timeout when the time is over. */
  async run<T>(operation: Operation, work: (deadline: Deadline) => Promise<T>): Promise<T> {
    const { kind, signal, requestId, keepsDeadline = false } = operation;
    const { failures, timers, key } = this.#options;
    const timeoutMs = operation.timeoutMs ?? this.#options.timeoutMs;
    signal.throwIfAborted();
    const subject = `${kind} ${operation.subject}`;
    this.throwIfFailed(operation);
    const message = `${key} did not answer within ${timeoutMs} ms`;
    const expired = (): Error => new UpstreamError({ upstream: key, kind, failure: 'timeout', message });
    const deadline = new Deadline({ timeoutMs, timers, caller: signal, requestId, expired });
    let isKept = false;
    try {
      const result = await work(deadline);
      failures.forget(subject);
      isKept = keepsDeadline;
      return result;
    } catch (error) {
      const failure: unknown = deadline.signal.aborted ? deadline.signal.reason : error;
      if (!signal.aborted) failures.remember(subject, failure);
      throw failure;
    } finally {
      if (!isKept) deadline.dispose();
    }
  }
}
