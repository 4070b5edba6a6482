/**
 * A file that fills up in any order and is hashed in the right one: bytes are written where they belong, and the front
 * moves over everything contiguous, from memory when they are just at hand, else by reading back (after a restart, or
 * over a segment of its own). Rings its bell whenever there is more of it.
 */
import type { FileHandle } from 'node:fs/promises';
import type { Notifier } from '../../lib/notifier.ts';
import type { Digest } from '../../oci/digest.ts';
import { guardDisk, StoreError, type StoreObserver } from '../store-error.ts';
import { RunningHash } from './running-hash.ts';
import type { Segments } from './segments.ts';

const rehashBlockBytes = 1024 * 1024;

export interface GrowingFileOptions {
  readonly digest: Digest;
  readonly handle: FileHandle;
  /** What of the file is there already. */
  readonly segments: Segments;
  readonly bell: Notifier;
  readonly observer: StoreObserver;
  /** Reading back failed: the front stays where it is. */
  onError(error: Error): void;
}

export class GrowingFile {
  readonly segments: Segments;
  readonly front: RunningHash;
  readonly #options: GrowingFileOptions;
  #generation = 0;
  #advancing: Promise<void> | undefined;
  #stopped = false;
  #isHashing = false;

  constructor(options: GrowingFileOptions) {
    this.#options = options;
    this.segments = options.segments;
    this.front = new RunningHash(options.digest);
  }

  /** Until then the front stays at 0. Idempotent. */
  startHashing(): void {
    this.#isHashing = true;
    this.#advance();
  }

  /** Grows by one at each restart. */
  get generation(): number {
    return this.#generation;
  }

  /** The first byte that isn't on disk. */
  nextMissing(): number {
    return this.segments.endFrom(this.front.offset);
  }

  /** False: a restart came in between, the bytes don't count. Errors: StoreError write. */
  async write(at: number, bytes: Buffer): Promise<boolean> {
    const { handle, observer, bell } = this.#options;
    const generation = this.#generation;
    await guardDisk(observer, 'write', async () => {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, at + done);
        done += bytesWritten;
      }
    });
    if (generation !== this.#generation) return false;
    const end = at + bytes.length;
    this.segments.add(at, end);
    const { offset } = this.front;
    if (this.#isHashing && this.#advancing === undefined && at <= offset && end > offset) {
      this.front.advance(bytes.subarray(offset - at)); // still in memory: no need to read it back
    }
    bell.ring();
    this.#advance();
    return true;
  }

  /** Resolves when all contiguous bytes are in the hash. */
  async settle(): Promise<void> {
    while (this.#advancing !== undefined) await this.#advancing;
  }

  /** Nothing of it counts any more; the file itself is the caller's to truncate. */
  async restart(): Promise<void> {
    this.#generation += 1;
    this.front.restart();
    this.segments.truncate(0);
    this.#options.bell.ring();
    await this.settle();
  }

  /** No more reading back. */
  stop(): void {
    this.#stopped = true;
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
    const { handle, bell } = this.#options;
    const block = Buffer.allocUnsafe(rehashBlockBytes);
    const generation = this.#generation;
    while (!this.#stopped && generation === this.#generation) {
      const { offset } = this.front;
      const length = Math.min(block.length, this.nextMissing() - offset);
      if (length === 0) return;
      const { bytesRead } = await handle.read(block, 0, length, offset);
      if (generation !== this.#generation || this.#stopped) return;
      if (bytesRead === 0)
        throw new StoreError(
          'read',
          'TRUNCATED',
          `expected ${length} bytes at ${offset}, got the end of the file`,
        );
      this.front.advance(block.subarray(0, bytesRead));
      bell.ring();
    }
  }
}
