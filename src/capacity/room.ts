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
   * Undefined: no room, although everything that may go was evicted; or the bytes can't fit at all, and nothing was evicted.
   */
  reserve(bytes: number, digest?: Digest, whole?: WholeSize): Promise<Reservation | undefined>;
  /** False: not even an empty cache has room for so many bytes beside what is reserved. Evicts and books nothing. */
  couldHold(bytes: number): boolean;
  /** A reserved partial could not be opened and may still be on disk: it counts by itself again. */
  partialLeft(digest: Digest): void;
}

/**
 * How many bytes it will be in all, when its source has said so; left out: these bytes are all. `unknown` (a body without a
 * length) may evict, together with all others of that kind, at most half of what is held.
 */
export type WholeSize = number | 'unknown';

export interface Reservation {
  readonly bytes: number;
  /** As the bytes come. False: no room for `extra` more bytes; what was reserved stays. */
  grow(extra: number, whole?: WholeSize): Promise<boolean>;
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
  book(request: RoomRequest, isUnknown: boolean): Promise<boolean>;
  /** `restBytes` of them had only been promised. */
  unbook(bytes: number, restBytes: number): void;
  keepBlob(digest: Digest, size: number): void;
  keepPartial(digest: Digest, bytes: number): void;
  makeRoom(): Promise<boolean>;
}

export class BookedReservation implements Reservation {
  readonly #books: ReservationBooks;
  #bytes: number;
  #restBytes: number;
  #isEnded = false;

  constructor({ bytes, restBytes }: RoomRequest, books: ReservationBooks) {
    this.#bytes = bytes;
    this.#restBytes = restBytes;
    this.#books = books;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async grow(extra: number, whole?: WholeSize): Promise<boolean> {
    if (this.#isEnded) return false;
    const restBytes = restOf(this.#bytes + extra, whole);
    const request = { bytes: extra, digest: undefined, restBytes, formerRestBytes: this.#restBytes };
    if (!(await this.#books.book(request, whole === 'unknown'))) return false;
    if (this.#isEnded) {
      this.#books.unbook(extra, restBytes - request.formerRestBytes); // ended while it waited
      return false;
    }
    this.#bytes += extra;
    this.#restBytes = restBytes;
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
    this.#books.unbook(this.#bytes, this.#restBytes);
    return true;
  }
}

/** What is still to come after `bytes`. */
export function restOf(bytes: number, whole: WholeSize | undefined): number {
  return typeof whole === 'number' ? Math.max(0, whole - bytes) : 0;
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
      if (!this.#ledger.fits(first, limitBytes) && this.#ledger.couldFit(first, limitBytes)) return;
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
