/**
 * Whether the upstream's host is away. While it is, operations fail at once, and only a probe asks: at once and then
 * after 1 s, 2 s, 4 s … 30 s, until there is an answer that isn't a server's error.
 *
 * One silent operation opens the breaker (its client has waited the whole time: the next objects of the same pull must
 * not wait again), and so does one that got no connection (a client must not be given an image that isn't complete now);
 * a mere blip is over with the first probe. Five answers of 5xx in a row to one kind of question only make it suspect: it
 * opens when the API's root fails too, because one repository that is broken says nothing about the others.
 */
import type { Timers } from '../../lib/wait.ts';
import type { Kind } from '../../telemetry/observer.ts';
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

const suspectStatuses = 5;
const firstDelayMs = 1000;
const maxDelayMs = 30_000;

export class Breaker {
  readonly #options: BreakerOptions;
  readonly #statusesInARow = new Map<Kind, number>();
  #isSuspect = false;
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
  answered(status: number, kind: Kind): void {
    this.#answers += 1;
    if (isServerError(status)) return;
    this.#statusesInARow.delete(kind);
    this.#close();
  }

  /** A whole operation failed, its retry included. */
  failed(trouble: Trouble, kind: Kind): void {
    if (this.#isOpen || this.#isClosed) return;
    if (trouble === 'status') this.#suspect(kind);
    else this.#open(trouble);
  }

  #suspect(kind: Kind): void {
    const inARow = (this.#statusesInARow.get(kind) ?? 0) + 1;
    this.#statusesInARow.set(kind, inARow);
    if (inARow >= suspectStatuses && !this.#isSuspect) void this.#confirm();
  }

  /** No more probes. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#withdrawProbe();
  }

  /** Asks before it opens. */
  async #confirm(): Promise<void> {
    this.#isSuspect = true;
    const status = await this.#options.probe();
    this.#isSuspect = false;
    this.#statusesInARow.clear();
    if (status !== undefined) this.#answers += 1;
    const isWell = status !== undefined && !isServerError(status);
    if (isWell || this.#isOpen || this.#isClosed) return;
    this.#opened('status');
    this.#probeAfter(firstDelayMs, this.#opening);
  }

  #open(trouble: Trouble): void {
    this.#opened(trouble);
    void this.#probe(this.#opening, firstDelayMs);
  }

  #opened(trouble: Trouble): void {
    this.#isOpen = true;
    this.#opening += 1;
    this.#options.onOpen(trouble);
  }

  #close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#withdrawProbe();
    if (!this.#isClosed) this.#options.onClose();
  }

  async #probe(opening: number, nextDelayMs: number): Promise<void> {
    const status = await this.#options.probe();
    if (status !== undefined) this.answered(status, 'ping');
    if (!this.#isOpen || this.#isClosed || opening !== this.#opening) return;
    this.#probeAfter(nextDelayMs, opening);
  }

  #probeAfter(delayMs: number, opening: number): void {
    const next = Math.min(delayMs * 2, maxDelayMs);
    this.#withdrawProbe = this.#options.timers.after(delayMs, () => void this.#probe(opening, next));
  }
}

/** The host is in trouble. 501 is its word that it doesn't know such a request. */
export function isServerError(status: number): boolean {
  return status >= 500 && status !== 501;
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
