/**
 * Ends one connection that has gone silent for `stallMs`, or that brings less than the minimum rate over a minute. The clock
 * runs only while the transfer waits for the source: a slow client is neither. One timer per connection, re-armed for each chunk.
 */

export interface GuardPolicy {
  readonly stallMs: number;
  /** Bytes per second; 0: none. */
  readonly minRate: number;
}

const rateWindowMs = 60_000;

export class TransferGuard {
  readonly #controller = new AbortController();
  readonly #policy: GuardPolicy;
  readonly #now: () => number;
  readonly #outer: AbortSignal;
  readonly #onOuterAbort: () => void;
  #timer: NodeJS.Timeout | undefined;
  #waiting = false;
  #ended: { readonly cause: 'stall' | 'slow'; readonly message: string } | undefined;
  #waitedMs = 0;
  #bytes = 0;

  constructor(policy: GuardPolicy, now: () => number, outer: AbortSignal) {
    this.#policy = policy;
    this.#now = now;
    this.#outer = outer;
    this.#onOuterAbort = () => this.#controller.abort(outer.reason);
    outer.addEventListener('abort', this.#onOuterAbort, { once: true });
    if (outer.aborted) this.#onOuterAbort();
  }

  /** For the source: aborted by the outer signal, or when the guard ends the connection. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Why the guard has ended the connection. */
  get ended(): { readonly cause: 'stall' | 'slow'; readonly message: string } | undefined {
    return this.#ended;
  }

  async *watch(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
    const iterator = stream[Symbol.asyncIterator]();
    this.#timer = setTimeout(() => this.#expire(), this.#policy.stallMs);
    try {
      while (true) {
        this.#timer.refresh();
        this.#waiting = true;
        const askedAt = this.#now();
        const { done, value } = await iterator.next();
        this.#waiting = false;
        if (done === true) return;
        const waitedMs = this.#now() - askedAt;
        yield value; // also the last one before the end: it needn't come twice
        this.#measure(value.length, waitedMs);
      }
    } finally {
      this.#waiting = false;
      await iterator.return?.();
    }
  }

  /** Ends a transfer that isn't needed any more, also one whose stream was never read. */
  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Idempotent. */
  close(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener('abort', this.#onOuterAbort);
  }

  /** Errors: Error, after a minute below the minimum rate. */
  #measure(bytes: number, waitedMs: number): void {
    const { minRate, stallMs } = this.#policy;
    this.#bytes += bytes;
    this.#waitedMs += Math.min(stallMs, Math.max(0, waitedMs)); // more was a jump of the clock
    if (this.#waitedMs < rateWindowMs) return;
    const isSlow = this.#bytes * 1000 < minRate * this.#waitedMs;
    this.#bytes = 0;
    this.#waitedMs = 0;
    if (isSlow) throw this.#end('slow', `fewer than ${minRate} bytes a second came for a minute`);
  }

  #expire(): void {
    if (this.#waiting) this.#end('stall', `no byte came for ${this.#policy.stallMs} ms`);
    else this.#timer?.refresh();
  }

  #end(cause: 'stall' | 'slow', message: string): Error {
    const error = new Error(message);
    this.#ended = { cause, message };
    this.#controller.abort(error);
    return error;
  }
}
