/**
 * Room for bytes that are about to be written: what a download or an upload asks of `Capacity`. A reservation ends once: as a
 * held blob, as a partial that stays, or as nothing. Later calls have no effect, so its owner may `release` in a `finally`.
 */
import type { Digest } from '../oci/digest.ts';

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
