/**
 * One blob that is being filled: a file that grows, hashed as its contiguous front moves, read by any number of
 * followers while it grows. It knows nothing of networks; a download writes into it.
 *
 * Guarantees: the front counts bytes that are on disk *and* in the hash; followers never see a byte beyond it; the last
 * byte (and all of a blob up to `verifyFirstBytes`) is held back until the whole digest is right; what is on disk
 * survives the process through the journal. Order at the end: digest, last byte to the followers, fsync, rename.
 */
import type { Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { algorithmOf, createDigester, type Digest, finishDigest } from '../oci/digest.ts';
import type { Observer } from '../telemetry/observer.ts';
import { Follower } from './follower.ts';
import { NoRoomError } from './ingest-error.ts';
import { IngestJournal } from './ingest-journal.ts';
import type { Segments } from './segments.ts';
import { guardDisk } from './store-error.ts';

/** Blobs up to this size are verified before their first byte is given out (design promise 1). */
export const verifyFirstBytes = 1024 * 1024;
const rehashBlockBytes = 1024 * 1024;

export interface IngestOptions {
  readonly digest: Digest;
  /** For the operator who reads the journal: `docker.io/library/alpine`. */
  readonly source: string;
  readonly partPath: string;
  readonly journalPath: string;
  tempPath(): string;
  readonly bootId: string;
  readonly observer: Observer;
  /** fsync, rename to the blob's place, fsync of the folder, journal removed. Errors: StoreError. */
  commit(handle: FileHandle): Promise<void>;
  /** Called with the number of followers each time it changes. */
  onFollowers(count: number): void;
}

export class Ingest {
  readonly digest: Digest;
  readonly #options: IngestOptions;
  readonly #handle: FileHandle;
  readonly #journal: IngestJournal;
  readonly #waiters = new Set<() => void>();
  readonly #segments: Segments;
  #hash: Hash;
  #front = 0;
  #size: number | undefined;
  #generation = 0;
  #verified = false;
  #failure: Error | undefined;
  #advancing: Promise<void> | undefined;
  #followers = 0;
  #touched = 0;
  #users = 1;

  private constructor(
    options: IngestOptions,
    handle: FileHandle,
    journal: IngestJournal,
    size: number | undefined,
    segments: Segments,
  ) {
    this.#options = options;
    this.digest = options.digest;
    this.#handle = handle;
    this.#journal = journal;
    this.#size = size;
    this.#segments = segments;
    this.#hash = createDigester(algorithmOf(options.digest));
  }

  /** Opens the partial of an earlier try, cut back to what its journal vouches for, or a new one. Errors: StoreError. */
  static async open(options: IngestOptions): Promise<Ingest> {
    return guardDisk(options.observer, 'open', async () => {
      const { journal, size, segments } = await IngestJournal.open(options);
      const handle = await open(options.partPath, constants.O_RDWR | constants.O_CREAT, 0o640);
      try {
        segments.truncate((await handle.stat()).size);
        await handle.truncate(segments.toJSON().at(-1)?.[1] ?? 0);
      } catch (error) {
        await handle.close();
        throw error;
      }
      const ingest = new Ingest(options, handle, journal, size, segments);
      ingest.#advance();
      return ingest;
    });
  }

  get front(): number {
    return this.#front;
  }

  get size(): number | undefined {
    return this.#size;
  }

  get verified(): boolean {
    return this.#verified;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  get followers(): number {
    return this.#followers;
  }

  /** False once everybody has left: the descriptor is closed, and the blob is in its place or gone. */
  get isOpen(): boolean {
    return this.#users > 0;
  }

  /** Somebody waits who has not been given a byte yet: worth a second try after wrong bytes. */
  get hasUntouchedFollower(): boolean {
    return this.#followers > this.#touched;
  }

  /** Grows by one at each restart; a follower that has given out bytes of an older generation must stop. */
  get generation(): number {
    return this.#generation;
  }

  /** Bytes on disk, whether hashed yet or not. */
  get heldBytes(): number {
    return this.#segments.bytes;
  }

  /** Followers may read below this offset. */
  get readable(): number {
    if (this.#verified) return this.#size ?? this.#front;
    const known = this.#size;
    if ((known ?? this.#front) <= verifyFirstBytes) return 0;
    return known === undefined ? this.#front - 1 : Math.min(this.#front, known - 1);
  }

  /** The first byte that has to come from a source. */
  nextMissing(): number {
    return this.#segments.endFrom(this.#front);
  }

  /** Learnt from the descriptor or a source. */
  setSize(size: number): void {
    this.#size = size;
    this.#wake();
  }

  /** Errors: StoreError (`isFull` when the disk is); the bytes before it stay. */
  async write(at: number, bytes: Buffer): Promise<void> {
    const generation = this.#generation;
    await guardDisk(this.#options.observer, 'write', async () => {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, at + done);
        done += bytesWritten;
      }
    });
    if (generation !== this.#generation) return;
    const end = at + bytes.length;
    this.#segments.add(at, end);
    if (this.#advancing === undefined && at <= this.#front && end > this.#front) {
      this.#hash.update(bytes.subarray(this.#front - at)); // still in memory: no need to read it back
      this.#front = end;
      this.#wake();
    }
    this.#advance();
    this.#journal.progressed(this.#handle, bytes.length, this.#size, this.#segments);
  }

  /** Moves the front over bytes that are on disk but not in the hash yet: after a restart, or a segment of its own. */
  #advance(): void {
    if (this.#advancing !== undefined || this.#segments.endFrom(this.#front) === this.#front) return;
    this.#advancing = guardDisk(this.#options.observer, 'read', () => this.#rehash())
      .catch(error => this.#fail(error instanceof Error ? error : new Error(String(error))))
      .finally(() => {
        this.#advancing = undefined;
        if (this.#failure === undefined) this.#advance();
      });
  }

  async #rehash(): Promise<void> {
    const block = Buffer.allocUnsafe(rehashBlockBytes);
    const generation = this.#generation;
    while (this.#failure === undefined && generation === this.#generation) {
      const length = Math.min(block.length, this.#segments.endFrom(this.#front) - this.#front);
      if (length === 0) return;
      const { bytesRead } = await this.#handle.read(block, 0, length, this.#front);
      if (bytesRead === 0) throw new Error(`expected ${length} bytes at ${this.#front}, the file ends there`);
      if (generation !== this.#generation) return;
      this.#hash.update(block.subarray(0, bytesRead));
      this.#front += bytesRead;
      this.#wake();
    }
  }

  /** Waits until all bytes on disk are in the hash, then compares. True: followers may have the last byte. */
  async verify(): Promise<boolean> {
    while (this.#advancing !== undefined) await this.#advancing;
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#size === undefined) this.#size = this.#front;
    if (this.#front !== this.#size) return false;
    if (finishDigest(algorithmOf(this.digest), this.#hash.copy()) !== this.digest) return false;
    this.#verified = true;
    this.#wake();
    return true;
  }

  /** After `verify`. Errors: StoreError; followers go on reading from the open file all the same. */
  async commit(): Promise<void> {
    await this.#journal.settle();
    await this.#options.commit(this.#handle);
  }

  /** The full length is on disk: written down before the digest is compared, so that a crash here asks nobody. */
  async journalAll(): Promise<void> {
    await this.#journal.write(this.#size, this.#segments);
  }

  /** The bytes were wrong: from zero again. Followers that have given any out are cut; the others wait on. */
  async restart(): Promise<void> {
    this.#generation += 1;
    this.#front = 0;
    this.#size = undefined;
    this.#hash = createDigester(algorithmOf(this.digest));
    this.#segments.truncate(0);
    this.#wake();
    while (this.#advancing !== undefined) await this.#advancing;
    await guardDisk(this.#options.observer, 'write', async () => {
      await this.#journal.restart();
      await this.#handle.truncate(0);
    });
  }

  /** No way on for now: followers are cut, the partial stays for the next ask. */
  async suspend(reason: Error): Promise<void> {
    this.#fail(reason);
    await this.#journal.finish(this.#handle, this.#size, this.#segments);
  }

  /** Followers are cut and the partial goes. */
  async discard(reason: Error): Promise<void> {
    this.#fail(reason);
    await this.#removeFiles();
  }

  /** The disk is full: followers drain what is there, then read on by themselves from `NoRoomError.front`. */
  async overflow(): Promise<void> {
    this.#fail(new NoRoomError(this.#front, this.#hash.copy(), this.#size));
    await this.#removeFiles();
  }

  follow(): Follower {
    this.#users += 1;
    this.#followers += 1;
    this.#options.onFollowers(this.#followers);
    return new Follower(this, this.#handle, {
      touched: () => {
        this.#touched += 1;
      },
      left: touched => {
        this.#followers -= 1;
        if (touched) this.#touched -= 1;
        this.#options.onFollowers(this.#followers);
        return this.release();
      },
    });
  }

  /** Resolves at the next change, or when `cancel` is called. */
  nextChange(): { readonly changed: Promise<void>; cancel(): void } {
    let wake = (): void => {};
    const changed = new Promise<void>(resolve => {
      wake = resolve;
    });
    this.#waiters.add(wake);
    return {
      changed,
      cancel: () => {
        this.#waiters.delete(wake);
        wake();
      },
    };
  }

  /** The opener's share (and each follower's) of the descriptor; the last one closes it. */
  async release(): Promise<void> {
    this.#users -= 1;
    if (this.#users > 0) return;
    while (this.#advancing !== undefined) await this.#advancing;
    await this.#journal.settle();
    await this.#handle.close();
  }

  #fail(reason: Error): void {
    this.#failure ??= reason;
    this.#wake();
  }

  #wake(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }

  async #removeFiles(): Promise<void> {
    await this.#journal.settle();
    await rm(this.#options.partPath, { force: true });
    await rm(this.#options.journalPath, { force: true });
  }
}
