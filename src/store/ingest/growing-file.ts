/**
 * A file that fills up in any order and is hashed in the right one. Bytes are here once they are in memory: followers get them from there,
 * and they are written a moment later, gathered. The front moves over all contiguous bytes that are here: from memory when they came a moment
 * ago, else by reading them back (after a restart, or over a segment that came early). Notifies at every change.
 */
import type { Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Notifier } from '../../lib/wait.ts';
import { algorithmOf, createDigester, type Digest, finishDigest } from '../../oci/digest.ts';
import { guardDisk, StoreError, type StoreObserver } from '../store-error.ts';
import { Segments } from './journal.ts';
import { type Piece, Window, type WindowBudget } from './window.ts';

const rehashBlockBytes = 1024 * 1024;
/** Not on disk yet, at most: a disk that is slower than the network holds the network back. */
const maxUnwrittenBytes = 2 * 1024 * 1024;

/** The hash of the contiguous beginning of a file: of all bytes below `offset`. */
export class RunningHash {
  readonly #digest: Digest;
  #hash: Hash;
  #offset = 0;

  constructor(digest: Digest) {
    this.#digest = digest;
    this.#hash = createDigester(algorithmOf(digest));
  }

  get offset(): number {
    return this.#offset;
  }

  /** The bytes that come next. */
  advance(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#offset += bytes.length;
  }

  /** To hash on from `offset`. */
  copyHash(): Hash {
    return this.#hash.copy();
  }

  matches(): boolean {
    return finishDigest(algorithmOf(this.#digest), this.#hash.copy()) === this.#digest;
  }

  restart(): void {
    this.#hash = createDigester(algorithmOf(this.#digest));
    this.#offset = 0;
  }
}

export interface GrowingFileOptions {
  readonly digest: Digest;
  readonly handle: FileHandle;
  /** The bytes that are on disk already. */
  readonly segments: Segments;
  readonly notifier: Notifier;
  readonly observer: StoreObserver;
  readonly budget: WindowBudget;
  /** So many bytes more are on disk; `written` is all of them. */
  onWritten(bytes: number, written: Segments): void;
  /** Reading back failed: the front stays where it is. */
  onError(error: Error): void;
}

export class GrowingFile {
  /** The bytes that are here, in memory or on disk. */
  readonly segments: Segments;
  readonly front: RunningHash;
  /** Those of them that are on disk. */
  readonly written: Segments;
  readonly #options: GrowingFileOptions;
  readonly #window: Window;
  #generation = 0;
  #writing: Promise<void> | undefined;
  #writeError: unknown;
  #advancing: Promise<void> | undefined;
  #stopped = false;
  #isHashing = false;
  #isFrozen = false;

  constructor(options: GrowingFileOptions) {
    this.#options = options;
    this.segments = options.segments;
    this.written = new Segments(options.segments.toJSON());
    this.front = new RunningHash(options.digest);
    this.#window = new Window(options.budget);
  }

  /** The front stays at 0 until this is called. Idempotent. */
  startHashing(): void {
    this.#isHashing = true;
    this.#advance();
  }

  /** Grows by one at each restart. */
  get generation(): number {
    return this.#generation;
  }

  /** The first byte that isn't here. */
  nextMissing(): number {
    return this.segments.endFrom(this.front.offset);
  }

  /** Bytes at `at` that are in memory, and never change. Undefined: they are on disk, or not here. */
  inMemory(at: number): Buffer | undefined {
    return this.#window.find(at);
  }

  /**
   * Takes the bytes, which are written soon; waits while too many are waiting for that. False: a restart came in between, and they don't
   * count. Errors: StoreError write, of earlier bytes; these are not taken then, and the next call tries the earlier ones again.
   */
  async write(at: number, bytes: Buffer): Promise<boolean> {
    const generation = this.#generation;
    if (this.#window.unwrittenBytes >= maxUnwrittenBytes || this.#writeError !== undefined) {
      await this.#makeSpace();
      if (generation !== this.#generation) return false;
    }
    this.#window.add({ at, bytes });
    this.segments.add(at, at + bytes.length);
    const { offset } = this.front;
    if (this.#isHashing && this.#advancing === undefined && at <= offset && at + bytes.length > offset) {
      this.front.advance(bytes.subarray(offset - at));
    }
    this.#options.notifier.ring();
    this.#advance();
    this.#writeOn();
    return true;
  }

  /** Resolves when all that was taken is on disk. Errors: StoreError write; the next call tries again. */
  async flush(): Promise<void> {
    const generation = this.#generation;
    while (this.#window.unwrittenBytes > 0 && generation === this.#generation && !this.#isFrozen) {
      this.#writeError = undefined;
      this.#writeOn();
      await this.#writing;
      if (this.#writeError !== undefined) throw this.#writeError;
    }
  }

  /** Resolves when all contiguous bytes are in the hash. */
  async settle(): Promise<void> {
    while (this.#advancing !== undefined) await this.#advancing;
  }

  /** Forgets all bytes. The caller truncates the file. */
  async restart(): Promise<void> {
    this.#generation += 1;
    this.front.restart();
    this.segments.truncate(0);
    this.#window.clear();
    this.#options.notifier.ring();
    await this.#idle();
    this.written.truncate(0);
    this.#writeError = undefined;
  }

  /** No more reading back. */
  stop(): void {
    this.#stopped = true;
  }

  /** Nothing more is written; what wasn't stays in memory for followers. Resolves when the write that runs is over. */
  async freeze(): Promise<void> {
    this.#isFrozen = true;
    await this.#writing;
  }

  /** Gives the memory back, and resolves when nothing is read or written any more. What was not written is lost. */
  async close(): Promise<void> {
    this.#stopped = true;
    this.#generation += 1;
    this.#window.clear();
    await this.#idle();
  }

  /** Resolves when nothing is read or written any more. To be called with an empty window. */
  async #idle(): Promise<void> {
    await this.settle();
    await this.#writing;
  }

  async #makeSpace(): Promise<void> {
    if (this.#writeError !== undefined) return this.flush();
    while (this.#window.unwrittenBytes >= maxUnwrittenBytes && this.#writing !== undefined) {
      await this.#writing;
      if (this.#writeError !== undefined) throw this.#writeError;
    }
  }

  /** One write at a time; what comes meanwhile is gathered for the next. */
  #writeOn(): void {
    const mustWait = this.#writing !== undefined || this.#writeError !== undefined || this.#isFrozen;
    if (mustWait || this.#window.unwrittenBytes === 0) return;
    this.#writing = this.#writeRun(this.#window.nextRun())
      .catch(error => {
        this.#writeError = error;
      })
      .finally(() => {
        this.#writing = undefined;
        this.#writeOn();
      });
  }

  async #writeRun(run: readonly Piece[]): Promise<void> {
    const { handle, observer, onWritten } = this.#options;
    const generation = this.#generation;
    const [first] = run;
    if (first === undefined) return;
    const end = await guardDisk(observer, 'write', () => writeAll(handle, run, first.at));
    if (generation !== this.#generation) return;
    this.#window.wrote(run);
    this.written.add(first.at, end);
    onWritten(end - first.at, this.written);
  }

  #advance(): void {
    if (!this.#isHashing || this.#stopped || this.#advancing !== undefined) return;
    if (this.nextMissing() === this.front.offset) return;
    const { observer, onError } = this.#options;
    this.#advancing = guardDisk(observer, 'read', () => this.#readBack())
      .catch(error => {
        this.#stopped = true;
        onError(error instanceof Error ? error : new Error(String(error)));
      })
      .finally(() => {
        this.#advancing = undefined;
        this.#advance();
      });
  }

  async #readBack(): Promise<void> {
    const { handle, notifier } = this.#options;
    const block = Buffer.allocUnsafe(rehashBlockBytes);
    const generation = this.#generation;
    while (!this.#stopped && generation === this.#generation) {
      const { offset } = this.front;
      if (offset === this.nextMissing()) return;
      const inMemory = this.#window.find(offset);
      if (inMemory !== undefined) {
        this.front.advance(inMemory);
        await nextTurn();
        notifier.ring();
        continue;
      }
      const length = Math.min(block.length, this.written.endFrom(offset) - offset); // beyond it may be a hole
      const { bytesRead } = await handle.read(block, 0, length, offset);
      if (generation !== this.#generation || this.#stopped) return;
      if (bytesRead === 0)
        throw new StoreError('read', 'TRUNCATED', `the file ends within the ${length} bytes at ${offset}`);
      this.front.advance(block.subarray(0, bytesRead));
      notifier.ring();
    }
  }
}

/** Resolves with the offset of their end. */
async function writeAll(handle: FileHandle, run: readonly Piece[], from: number): Promise<number> {
  let at = from;
  let left = run.map(({ bytes }) => bytes);
  while (left.length > 0) {
    let { bytesWritten } = await handle.writev(left, at);
    at += bytesWritten;
    while (left[0] !== undefined && bytesWritten >= left[0].length) {
      bytesWritten -= left[0].length;
      left = left.slice(1);
    }
    if (left[0] !== undefined && bytesWritten > 0) left[0] = left[0].subarray(bytesWritten);
  }
  return at;
}
