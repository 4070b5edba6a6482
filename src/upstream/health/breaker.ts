/**
 * Whether the upstream's host is away. While it is, operations fail at once, and only a probe asks: at once and then
 * after 1 s, 2 s, 4 s … 30 s, until there is an answer that isn't a server's error.
 *
 * One silent operation opens the breaker (its client has waited the whole time: the next objects of the same pull must
 * not wait again), and so does one that got no connection (a client must not be given an image that isn't complete now);
 * a mere blip is over with the first probe. Or five answers of 5xx in a row.
 */
import type { Timers } from '../../lib/wait.ts';
import { Deadline } from '../request/deadline.ts';
import { drain } from '../transport/body.ts';
import type { Transport } from '../transport/transport.ts';

export interface BreakerOptions {
  readonly timers: Timers;
  /** Asks the host; resolves with the status, undefined when there was no answer. Never rejects. */
  probe(): Promise<number | undefined>;
  onOpen(why: Trouble): void;
  onClose(): void;
}

/** `silent`: no answer before the deadline, or a connection attempt that ran into its deadline. */
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

  /** How many answers there were: unchanged between two readings, the host was silent between them. */
  get answers(): number {
    return this.#answers;
  }

  /** An answer of the host, whatever the request. */
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

/**
 * The breaker's own request to the upstream: the API's root (OCI distribution-spec end-1), without credentials. Gives the
 * status; undefined when there was no answer (the observer has seen that hop). Never rejects.
 */
export async function probe(
  transport: Transport,
  url: URL,
  timers: Timers,
  timeoutMs: number,
): Promise<number | undefined> {
  const expired = (): Error => new Error(`no answer to a probe within ${timeoutMs} ms`);
  const deadline = new Deadline({ timeoutMs, timers, expired });
  const { signal } = deadline;
  try {
    const hop = { url, method: 'GET', kind: 'ping', headers: {}, pool: 'control', signal } as const;
    const answer = await transport.send(hop);
    drain(answer.body);
    return answer.status;
  } catch {
    return undefined;
  } finally {
    deadline.dispose();
  }
}
