/**
 * A file that fills up in any order and is hashed in the right one. The front moves over all contiguous bytes: from memory when they were
 * just written there, else by reading them back (after a restart, or over a segment that came early). Notifies at every change.
 */
import type { Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import type { Notifier } from '../../lib/wait.ts';
import { algorithmOf, createDigester, type Digest, finishDigest } from '../../oci/digest.ts';
import { guardDisk, StoreError, type StoreObserver } from '../store-error.ts';

const rehashBlockBytes = 1024 * 1024;

/** Half-open. */
export type Segment = readonly [start: number, end: number];

/** Which bytes of a file are on disk: sorted, disjoint spans. Neighbours that touch are merged. */
export class Segments {
  #list: Segment[];

  /** Errors: RangeError when the list is not sorted, disjoint and within whole non-negative numbers. */
  constructor(list: readonly Segment[] = []) {
    let last = -1;
    for (const [start, end] of list) {
      if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start <= last || end <= start) {
        throw new RangeError(`segments must be sorted and disjoint, [${start}, ${end}] comes after ${last}`);
      }
      last = end;
    }
    this.#list = [...list];
  }

  add(start: number, end: number): void {
    if (end <= start) return;
    const last = this.#list.at(-1);
    if (last !== undefined && last[1] === start) {
      this.#list[this.#list.length - 1] = [last[0], end]; // the common case: a transfer goes on
      return;
    }
    const before = this.#list.filter(segment => segment[1] < start);
    const after = this.#list.filter(segment => segment[0] > end);
    const touched = this.#list.slice(before.length, this.#list.length - after.length);
    const from = Math.min(start, touched[0]?.[0] ?? start);
    const to = Math.max(end, touched.at(-1)?.[1] ?? end);
    this.#list = [...before, [from, to], ...after];
  }

  /** Where the bytes that start at `offset` end: `offset` itself when it isn't held. */
  endFrom(offset: number): number {
    return this.#list.find(([start, end]) => start <= offset && offset < end)?.[1] ?? offset;
  }

  /** The first byte at or after `offset` that isn't held, and where the next held one begins (if any). */
  nextGap(offset: number): { readonly start: number; readonly end: number | undefined } {
    const start = this.endFrom(offset);
    return { start, end: this.#list.find(segment => segment[0] > start)?.[0] };
  }

  /** Drops everything at or after `offset`. */
  truncate(offset: number): void {
    this.#list = this.#list
      .filter(([start]) => start < offset)
      .map(([start, end]): Segment => [start, Math.min(end, offset)]);
  }

  get bytes(): number {
    return this.#list.reduce((sum, [start, end]) => sum + end - start, 0);
  }

  toJSON(): readonly Segment[] {
    return [...this.#list];
  }
}

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

  /** The front stays at 0 until this is called. Idempotent. */
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

  /** False: a restart came in between, and the bytes don't count. Errors: StoreError write. */
  async write(at: number, bytes: Buffer): Promise<boolean> {
    const { handle, observer, notifier } = this.#options;
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
      this.front.advance(bytes.subarray(offset - at));
    }
    notifier.ring();
    this.#advance();
    return true;
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
    this.#options.notifier.ring();
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
    const { handle, notifier } = this.#options;
    const block = Buffer.allocUnsafe(rehashBlockBytes);
    const generation = this.#generation;
    while (!this.#stopped && generation === this.#generation) {
      const { offset } = this.front;
      const length = Math.min(block.length, this.nextMissing() - offset);
      if (length === 0) return;
      const { bytesRead } = await handle.read(block, 0, length, offset);
      if (generation !== this.#generation || this.#stopped) return;
      if (bytesRead === 0)
        throw new StoreError('read', 'TRUNCATED', `the file ends within the ${length} bytes at ${offset}`);
      this.front.advance(block.subarray(0, bytesRead));
      notifier.ring();
    }
  }
}
