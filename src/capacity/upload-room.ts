/**
 * Room for what is pushed. `max_size` is a limit of the cache alone, so only the disk bounds it: the cache gives way first, and what is
 * reserved here is missing in the cache's own limit. Nothing is evicted for bytes that would not fit anyway.
 */

/** What `Capacity` knows of the disk and the cache on it. */
export interface UploadRoomOptions {
  /** Reads the disk anew. */
  refresh(): Promise<void>;
  /** For everything on it that is ours. Infinity: the disk could not be read. */
  diskBytes(): number;
  /** Of the cache: all, or what stays when all that can be evicted has gone. */
  cacheBytes(what: 'all' | 'fixed'): number;
  /** Evicts down to the limit of the cache, in which `reservedBytes` are missing already. */
  evict(): Promise<void>;
  /** The disk is full although there should be room: evicts some. False: nothing could be freed. */
  makeRoom(): Promise<boolean>;
}

export class UploadRoom {
  readonly #options: UploadRoomOptions;
  #last: Promise<unknown> = Promise.resolve();
  /** Of all uploads, whether written yet or not. Changed here alone. */
  reservedBytes = 0;
  /** Of these, those on disk. */
  writtenBytes = 0;

  constructor(options: UploadRoomOptions) {
    this.#options = options;
  }

  /** For one upload. `written`: bytes of it that are on disk already. */
  open(written: number): UploadReservation {
    this.change(written, written);
    return new UploadReservation(this, written);
  }

  /** One at a time, so that two that fit alone don't refuse each other. False: no room, and nothing was reserved. */
  async reserve(bytes: number): Promise<boolean> {
    const reserving = this.#last.then(() => this.#reserve(bytes));
    this.#last = reserving.catch(() => undefined);
    return reserving;
  }

  makeRoom(): Promise<boolean> {
    return this.#options.makeRoom();
  }

  change(reservedBytes: number, writtenBytes: number): void {
    this.reservedBytes += reservedBytes;
    this.writtenBytes += writtenBytes;
  }

  async #reserve(bytes: number): Promise<boolean> {
    await this.#options.refresh();
    if (bytes > this.#spareBeside('fixed')) return false;
    const isThere = bytes <= this.#spareBeside('all');
    this.reservedBytes += bytes;
    if (isThere) return true;
    await this.#options.evict();
    if (this.#spareBeside('all') >= 0) return true;
    this.reservedBytes -= bytes;
    return false;
  }

  #spareBeside(cache: 'all' | 'fixed'): number {
    return this.#options.diskBytes() - this.#options.cacheBytes(cache) - this.reservedBytes;
  }
}

/** Taken in steps, which grow with the upload, so that a small one evicts little. */
const minStepBytes = 4 * 1024 * 1024;
const maxStepBytes = 64 * 1024 * 1024;

export class UploadReservation {
  readonly #room: UploadRoom;
  #bytes: number;
  #written: number;
  #isEnded = false;

  constructor(room: UploadRoom, written: number) {
    this.#room = room;
    this.#bytes = written;
    this.#written = written;
  }

  /** For an upload that grows to `end` bytes; `whole`: as far as its client has said how long it will be. False: no room. */
  async take(end: number, whole: number | undefined): Promise<boolean> {
    const missing = end - this.#bytes;
    if (missing <= 0) return true;
    const step = Math.min(maxStepBytes, Math.max(minStepBytes, this.#bytes));
    const wanted = Math.min(Math.max(missing, step), Math.max(missing, (whole ?? Infinity) - this.#bytes));
    if (!(await this.#room.reserve(wanted))) return false;
    if (this.#isEnded) this.#room.change(-wanted, 0);
    else this.#bytes += wanted;
    return true;
  }

  makeRoom(): Promise<boolean> {
    return this.#room.makeRoom();
  }

  /** So many bytes of it are on disk. */
  wrote(written: number): void {
    if (this.#isEnded) return;
    this.#room.change(0, written - this.#written);
    this.#written = written;
  }

  /** Nothing more comes for now: what was not written is given back. */
  trim(): void {
    if (this.#isEnded) return;
    this.#room.change(this.#written - this.#bytes, 0);
    this.#bytes = this.#written;
  }

  /** The upload has ended. Idempotent. */
  release(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#room.change(-this.#bytes, -this.#written);
  }
}
