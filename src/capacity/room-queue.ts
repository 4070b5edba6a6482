/**
 * Requests for room that wait: in order, while an eviction makes room (`RoomQueue`), and for a moment before the scan of the
 * store has ended (`ScanGate`).
 */
import { Notifier } from '../lib/notifier.ts';
import { settleWithin } from '../lib/wait.ts';
import type { Digest } from '../oci/digest.ts';
import type { Ledger, RoomRequest } from './ledger.ts';

interface WaitingRequest extends RoomRequest {
  readonly resolve: (isBooked: boolean) => void;
}

export class RoomQueue {
  readonly #ledger: Ledger;
  readonly #limitBytes: () => number;
  readonly #waiting: WaitingRequest[] = [];

  constructor(ledger: Ledger, limitBytes: () => number) {
    this.#ledger = ledger;
    this.#limitBytes = limitBytes;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** What all waiting requests would add to the total. */
  get bytes(): number {
    return this.#waiting.reduce((sum, request) => sum + Math.max(0, this.#ledger.cost(request)), 0);
  }

  has(digest: Digest): boolean {
    return this.#waiting.some(request => request.digest === digest);
  }

  /** Resolves with true when the room is booked. */
  join(request: RoomRequest): Promise<boolean> {
    return new Promise(resolve => {
      this.#waiting.push({ ...request, resolve });
    });
  }

  /** Answers from the front, up to the first request that has to wait on. A request that can never fit is refused. */
  serve(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const limitBytes = this.#limitBytes();
      if (!this.#ledger.fits(first, limitBytes) && this.#ledger.couldFit(first.bytes, limitBytes)) return;
      this.#waiting.shift();
      this.#answer(first);
    }
  }

  /** Nothing more will be freed: books each request that fits now, and refuses the others. */
  dismiss(): void {
    for (const request of this.#waiting.splice(0)) this.#answer(request);
  }

  #answer(request: WaitingRequest): void {
    const fits = this.#ledger.fits(request, this.#limitBytes());
    if (fits) this.#ledger.book(request);
    request.resolve(fits);
  }
}

/** Holds requests until the scan of the store has ended, but not for long: a pull is worth more than an exact count. */
export class ScanGate {
  readonly #waitMs: number;
  readonly #scanEnd = new Notifier();
  #waiting: Promise<unknown> | undefined;
  #isOpen = false;

  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  /** Resolves at `open`, or when the first caller has waited `waitMs`; later callers wait only for the rest of that. */
  async pass(): Promise<void> {
    if (this.#isOpen) return;
    this.#waiting ??= settleWithin(this.#scanEnd.next().changed, this.#waitMs);
    await this.#waiting;
  }

  open(): void {
    this.#isOpen = true;
    this.#scanEnd.ring();
  }
}
