/**
 * Whether the upstream's host is away. Once it is, nothing waits for it: operations fail at once, and only a probe of
 * its own asks, at once and then after 1 s, 2 s, 4 s … 30 s, until there is an answer that isn't a server's error.
 *
 * One silent operation opens it (its client has waited the whole budget: the next objects of the same pull must not
 * wait again), and so does one that got no connection (a client must not be given an image that isn't held whole now); a
 * mere blip is over with the first probe. Or five answers of 5xx in a row.
 */
import type { Timers } from '../../lib/timers.ts';

export interface BreakerOptions {
  readonly timers: Timers;
  /** Asks the host; resolves with the status, undefined when there was no answer. Never rejects. */
  probe(): Promise<number | undefined>;
  onOpen(why: Trouble): void;
  onClose(): void;
}

/** `silent`: no answer in the whole budget, or a connection attempt that ran into its deadline. */
export type Trouble = 'silent' | 'connection' | 'status';

const allowed: Readonly<Record<Trouble, number>> = { silent: 1, connection: 1, status: 5 };
const firstDelayMs = 1000;
const maxDelayMs = 30_000;

export class Breaker {
  readonly #options: BreakerOptions;
  readonly #inARow: Record<Trouble, number> = { silent: 0, connection: 0, status: 0 };
  #answers = 0;
  #isOpen = false;
  #isClosed = false;
  #withdrawProbe: () => void = () => undefined;
  /** Which opening a probe belongs to: one that was sent before a closing has no successors. */
  #opening = 0;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Counts answers: unchanged between two looks, the host was silent between them. */
  get answers(): number {
    return this.#answers;
  }

  /** An answer of the host, to whomever. */
  answered(status: number): void {
    this.#answers += 1;
    this.#inARow.silent = 0;
    this.#inARow.connection = 0;
    if (status >= 500) return;
    this.#inARow.status = 0;
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#withdrawProbe();
    if (!this.#isClosed) this.#options.onClose();
  }

  /** A whole operation failed, its retry included. */
  failed(trouble: Trouble): void {
    this.#inARow[trouble] += 1;
    if (this.#isOpen || this.#isClosed || this.#inARow[trouble] < allowed[trouble]) return;
    this.#isOpen = true;
    this.#opening += 1;
    this.#options.onOpen(trouble);
    void this.#probe(this.#opening, firstDelayMs);
  }

  /** No more probes. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#withdrawProbe();
  }

  async #probe(opening: number, nextDelayMs: number): Promise<void> {
    const status = await this.#options.probe();
    if (status !== undefined) this.answered(status);
    if (!this.#isOpen || this.#isClosed || opening !== this.#opening) return;
    const next = Math.min(nextDelayMs * 2, maxDelayMs);
    this.#withdrawProbe = this.#options.timers.after(nextDelayMs, () => void this.#probe(opening, next));
  }
}
