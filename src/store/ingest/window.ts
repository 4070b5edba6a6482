/**
 * The bytes of one growing file that came last, shared by all who follow it: the very chunks that came, so they cost their memory once; small
 * ones are joined. What isn't on disk yet stays until it is; of the rest the oldest goes when this window, or all windows together, hold too much.
 */

/** Written at once at most. */
const writeBytes = 1024 * 1024;
/** Smaller chunks are joined: an upstream that dribbles must not make a piece of each byte, nor keep a larger buffer alive by it. */
const smallBytes = 4 * 1024;
const joinedBytes = 16 * 1024;

/** What the windows of all ingests hold together. */
export class WindowBudget {
  readonly #bytesOfOne: number;
  readonly #bytesOfAll: number;
  #bytes = 0;

  constructor({ bytesOfOne, bytesOfAll }: { readonly bytesOfOne: number; readonly bytesOfAll: number }) {
    this.#bytesOfOne = bytesOfOne;
    this.#bytesOfAll = bytesOfAll;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  /** A window of so many bytes has to give some back. */
  isOver(bytesOfOne: number): boolean {
    return bytesOfOne > this.#bytesOfOne || this.#bytes > this.#bytesOfAll;
  }
}

/** Bytes of a growing file, which never change. */
export interface Piece {
  readonly at: number;
  readonly bytes: Buffer;
}

/** The chunks that came last, in the order in which they came: the first ones are on disk, the others wait to be written. */
export class Window {
  readonly #budget: WindowBudget;
  readonly #pieces: Piece[] = [];
  /** So many of them are on disk. */
  #written = 0;
  /** So many after them are being written. */
  #inRun = 0;
  /** What small chunks are joined in. The bytes that it has never change; more are put after them. */
  #joined: Buffer | undefined;
  #bytes = 0;
  #unwrittenBytes = 0;

  constructor(budget: WindowBudget) {
    this.#budget = budget;
  }

  get unwrittenBytes(): number {
    return this.#unwrittenBytes;
  }

  add(piece: Piece): void {
    if (!this.#join(piece)) this.#pieces.push(piece);
    this.#count(piece.bytes.length);
    this.#unwrittenBytes += piece.bytes.length;
    this.#shrink();
  }

  /** The bytes of one chunk from `at` on. They never change. */
  find(at: number): Buffer | undefined {
    for (let index = this.#pieces.length - 1; index >= 0; index -= 1) {
      const piece = this.#pieces[index];
      if (piece !== undefined && piece.at <= at && at < piece.at + piece.bytes.length)
        return piece.at === at ? piece.bytes : piece.bytes.subarray(at - piece.at);
    }
    return undefined;
  }

  /** The next ones to be written, one after the other in the file. */
  nextRun(): Piece[] {
    const run: Piece[] = [];
    let bytes = 0;
    for (let index = this.#written; index < this.#pieces.length && bytes < writeBytes; index += 1) {
      const piece = this.#pieces[index];
      const last = run.at(-1);
      if (piece === undefined || (last !== undefined && piece.at !== last.at + last.bytes.length)) break;
      run.push(piece);
      bytes += piece.bytes.length;
    }
    this.#inRun = run.length;
    return run;
  }

  /** That run is on disk. */
  wrote(run: readonly Piece[]): void {
    this.#written += run.length;
    this.#inRun = 0;
    for (const { bytes } of run) this.#unwrittenBytes -= bytes.length;
    this.#shrink();
  }

  clear(): void {
    this.#count(-this.#bytes);
    this.#pieces.length = 0;
    this.#written = 0;
    this.#inRun = 0;
    this.#joined = undefined;
    this.#unwrittenBytes = 0;
  }

  /** Puts a small chunk after the one before it, unless that one is being written. False: it is a piece of its own. */
  #join({ at, bytes }: Piece): boolean {
    const index = this.#pieces.length - 1;
    const last = this.#pieces[index];
    if (last === undefined || index < this.#written + this.#inRun || bytes.length >= smallBytes) return false;
    const { length } = last.bytes;
    if (last.at + length !== at || length + bytes.length > joinedBytes) return false;
    if (this.#joined === undefined || last.bytes.buffer !== this.#joined.buffer) {
      if (length >= smallBytes) return false;
      this.#joined = Buffer.allocUnsafeSlow(joinedBytes);
      last.bytes.copy(this.#joined);
    }
    bytes.copy(this.#joined, length);
    this.#pieces[index] = { at: last.at, bytes: this.#joined.subarray(0, length + bytes.length) };
    return true;
  }

  /** What is not on disk stays. */
  #shrink(): void {
    let dropped = 0;
    while (dropped < this.#written && this.#budget.isOver(this.#bytes)) {
      this.#count(-(this.#pieces[dropped]?.bytes.length ?? 0));
      dropped += 1;
    }
    if (dropped === 0) return;
    this.#pieces.splice(0, dropped);
    this.#written -= dropped;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#budget.add(bytes);
  }
}
