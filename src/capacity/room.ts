/**
 * Room for bytes that are about to be written: what a download or an upload asks of `Capacity`. A reservation ends once: as a
 * held blob, as a partial that stays, or as nothing. Later calls have no effect, so its owner may `release` in a `finally`.
 */

import { Notifier, settleWithin } from '../lib/wait.ts';
import type { Digest } from '../oci/digest.ts';
import type { Ledger, RoomRequest } from './ledger.ts';

export interface Room {
  /**
   * Reserves `bytes`. With a `digest`, a partial of it stops counting by itself: its bytes are part of the reservation.
   * Undefined: no room, although everything evictable was evicted; or `bytes` can't fit at all, and nothing was evicted.
   */
  reserve(bytes: number, digest?: Digest): Promise<Reservation | undefined>;
  /** A reserved partial could not be opened and may still be on disk: it counts by itself again. */
  partialLeft(digest: Digest): void;
}

export interface Reservation {
  readonly bytes: number;
  /** For blobs of unknown size. False: no room for `extra` more bytes; what was reserved stays. */
  grow(extra: number): Promise<boolean>;
  /** The disk is full although the limit isn't reached: evicts some. False: nothing could be freed. */
  makeRoom(): Promise<boolean>;
  /** The blob is in the store: `size` bytes are held, and reserved bytes beyond them are given back. */
  settle(digest: Digest, size: number): void;
  /** A partial of that many bytes stays on disk; it may be evicted when room is needed. */
  keepPartial(digest: Digest, bytes: number): void;
  /** Nothing of it is on disk. */
  release(): void;
}

/** The books of `Capacity`. All but `book` and `makeRoom` take effect at once. */
export interface ReservationBooks {
  book(bytes: number): Promise<boolean>;
  unbook(bytes: number): void;
  keepBlob(digest: Digest, size: number): void;
  keepPartial(digest: Digest, bytes: number): void;
  makeRoom(): Promise<boolean>;
}

export class BookedReservation implements Reservation {
  readonly #books: ReservationBooks;
  #bytes: number;
  #isEnded = false;

  constructor(bytes: number, books: ReservationBooks) {
    this.#bytes = bytes;
    this.#books = books;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async grow(extra: number): Promise<boolean> {
    if (this.#isEnded || !(await this.#books.book(extra))) return false;
    if (this.#isEnded) {
      this.#books.unbook(extra); // ended while it waited
      return false;
    }
    this.#bytes += extra;
    return true;
  }

  makeRoom(): Promise<boolean> {
    return this.#isEnded ? Promise.resolve(false) : this.#books.makeRoom();
  }

  settle(digest: Digest, size: number): void {
    if (this.#end()) this.#books.keepBlob(digest, size);
  }

  keepPartial(digest: Digest, bytes: number): void {
    if (this.#end()) this.#books.keepPartial(digest, bytes);
  }

  release(): void {
    this.#end();
  }

  #end(): boolean {
    if (this.#isEnded) return false;
    this.#isEnded = true;
    this.#books.unbook(this.#bytes);
    return true;
  }
}

interface WaitingRequest extends RoomRequest {
  readonly resolve: (isBooked: boolean) => void;
}

/**
 * Requests for room that wait: in order, while an eviction makes room (`RoomQueue`), and for a moment before the scan of the
 * store has ended (`ScanGate`).
 */
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
