/**
 * Aborts one connection of a transfer that has gone silent. The clock runs only while we wait for the source: a slow
 * reader on our side is no stall. One timer per connection, re-armed for each chunk.
 */
export class StallGuard {
  readonly #controller = new AbortController();
  readonly #stallMs: number;
  readonly #outer: AbortSignal;
  readonly #onOuterAbort: () => void;
  #timer: NodeJS.Timeout | undefined;
  #waiting = false;
  #stalled = false;

  constructor(stallMs: number, outer: AbortSignal) {
    this.#stallMs = stallMs;
    this.#outer = outer;
    this.#onOuterAbort = () => this.#controller.abort(outer.reason);
    outer.addEventListener('abort', this.#onOuterAbort, { once: true });
    if (outer.aborted) this.#onOuterAbort();
  }

  /** For the source: aborted by the outer signal or by a stall. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get stalled(): boolean {
    return this.#stalled;
  }

  async *watch(stream: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, void> {
    const iterator = stream[Symbol.asyncIterator]();
    this.#timer = setTimeout(() => this.#expire(), this.#stallMs);
    try {
      while (true) {
        this.#timer.refresh();
        this.#waiting = true;
        const { done, value } = await iterator.next();
        this.#waiting = false;
        if (done === true) return;
        yield value;
      }
    } finally {
      this.#waiting = false;
      await iterator.return?.();
    }
  }

  /** Ends a transfer that isn't wanted any more, also one that nobody has begun to read. */
  abort(reason: unknown): void {
    this.#controller.abort(reason);
  }

  /** Idempotent. */
  close(): void {
    clearTimeout(this.#timer);
    this.#outer.removeEventListener('abort', this.#onOuterAbort);
  }

  #expire(): void {
    if (!this.#waiting) {
      this.#timer?.refresh();
      return;
    }
    this.#stalled = true;
    this.#controller.abort(new Error(`no byte for ${this.#stallMs} ms`));
  }
}
