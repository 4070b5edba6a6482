/**
 * Room that was granted and isn't filled yet. It ends once: as a held blob, as a partial that stays, or as nothing.
 * Whatever is called on it after that does nothing, so an owner may release in a `finally`.
 */
import type { Digest } from '../oci/digest.ts';

/** The books that a reservation writes in: capacity's. Each call takes effect at once. */
export interface ReservationBooks {
  book(bytes: number): Promise<boolean>;
  unbook(bytes: number): void;
  blobKept(digest: Digest, size: number): void;
  partialKept(digest: Digest, bytes: number): void;
  makeRoom(): Promise<boolean>;
}

export class Reservation {
  readonly #books: ReservationBooks;
  #bytes: number;
  #ended = false;

  constructor(bytes: number, books: ReservationBooks) {
    this.#bytes = bytes;
    this.#books = books;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** For blobs of unknown size. False: no room for `extra` more bytes; what was reserved stays. */
  async grow(extra: number): Promise<boolean> {
    if (this.#ended || !(await this.#books.book(extra))) return false;
    if (this.#ended) {
      this.#books.unbook(extra); // ended while it waited
      return false;
    }
    this.#bytes += extra;
    return true;
  }

  /** The disk is full although the limit isn't reached: evicts some. False: nothing could be freed. */
  makeRoom(): Promise<boolean> {
    return this.#ended ? Promise.resolve(false) : this.#books.makeRoom();
  }

  /** The blob is in the store: `size` bytes are held, what was reserved beyond them is given back. */
  settle(digest: Digest, size: number): void {
    if (this.#end()) this.#books.blobKept(digest, size);
  }

  /** A partial of that many bytes stays on disk; it may go when room is needed. */
  keepPartial(digest: Digest, bytes: number): void {
    if (this.#end()) this.#books.partialKept(digest, bytes);
  }

  /** Nothing of it is on disk any more. */
  release(): void {
    this.#end();
  }

  #end(): boolean {
    if (this.#ended) return false;
    this.#ended = true;
    this.#books.unbook(this.#bytes);
    return true;
  }
}
