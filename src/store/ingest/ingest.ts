/**
 * One blob that is being filled: a growing file that any number of followers read meanwhile. A download writes into it. Followers see the
 * bytes on disk, but get the last byte (of a small blob: the first) only after the digest is verified (follower.ts). The journal keeps
 * the bytes across a crash. Order at the end: digest, last byte to the followers, fsync, rename.
 */
import { constants } from 'node:fs';
import { type FileHandle, rm } from 'node:fs/promises';
import { Notifier } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Observer } from '../../telemetry/observer.ts';
import { isOdd, moveOdd, openRegular } from '../disk-files.ts';
import { guardDisk, NoRoomError } from '../store-error.ts';
import { Follower, IngestUsers, readableEnd, readableFront } from './follower.ts';
import { GrowingFile } from './growing-file.ts';
import { IngestJournal, type OpenedJournal } from './journal.ts';
import type { WindowBudget } from './window.ts';

export interface IngestOptions {
  readonly digest: Digest;
  /** For the journal: `docker.io/library/alpine`. */
  readonly source: string;
  readonly partPath: string;
  readonly journalPath: string;
  tempPath(): string;
  readonly bootId: string;
  readonly observer: Observer;
  /** fsync, rename to the blob's place, fsync of the folder, journal removed. Errors: StoreError. */
  commit(handle: FileHandle): Promise<void>;
  /** Shared by all ingests. */
  readonly windows: WindowBudget;
  /** Hashing starts with `hashFront`, so that a range of a partial doesn't read all bytes before it. */
  readonly hashesLater?: boolean;
  /** The number of followers, at each change. */
  onFollowers(count: number): void;
}

export class Ingest {
  readonly digest: Digest;
  readonly #options: IngestOptions;
  readonly #handle: FileHandle;
  readonly #journal: IngestJournal;
  readonly #notifier = new Notifier();
  readonly #file: GrowingFile;
  readonly #users: IngestUsers;
  #size: number | undefined;
  #verified = false;
  #failure: Error | undefined;

  private constructor(options: IngestOptions, handle: FileHandle, opened: OpenedJournal) {
    this.#options = options;
    this.digest = options.digest;
    this.#handle = handle;
    this.#journal = opened.journal;
    this.#size = opened.size;
    const { digest, observer } = options;
    const { segments } = opened;
    this.#file = new GrowingFile({
      digest,
      handle,
      segments,
      notifier: this.#notifier,
      observer,
      budget: options.windows,
      onWritten: (bytes, written) => this.#journal.progressed(handle, bytes, this.#size, written),
      onError: error => this.#fail(error),
    });
    if (options.hashesLater !== true) this.hashFront();
    this.#users = new IngestUsers(
      count => options.onFollowers(count),
      () => this.#close(),
    );
  }

  /** Opens the partial of an earlier try, cut back to what its journal vouches for, or a new one. Errors: StoreError. */
  static async open(options: IngestOptions): Promise<Ingest> {
    return guardDisk(options.observer, 'open', async () => {
      const opened = await IngestJournal.open(options);
      const handle = await openPart(options);
      try {
        opened.segments.truncate((await handle.stat()).size);
        await handle.truncate(opened.segments.toJSON().at(-1)?.[1] ?? 0);
      } catch (error) {
        await handle.close();
        throw error;
      }
      return new Ingest(options, handle, opened);
    });
  }

  /** Bytes below it are here, in memory or on disk, and in the hash. */
  get front(): number {
    return this.#file.front.offset;
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
    return this.#users.followers;
  }

  /** False once all users have left: the descriptor is closed, and the blob is in its place or gone. */
  get isOpen(): boolean {
    return this.#users.isAny;
  }

  /** A follower has not given out a byte yet: it can use a second try after wrong bytes. */
  get hasUntouchedFollower(): boolean {
    return this.#users.hasUntouchedFollower;
  }

  /** Grows by one at each restart. A follower that has given out bytes of an older one must stop. */
  get generation(): number {
    return this.#file.generation;
  }

  /** Bytes that are here, whether hashed yet or not. */
  get heldBytes(): number {
    return this.#file.segments.bytes;
  }

  /** Followers may read all below this offset. */
  get readable(): number {
    return readableFront(this);
  }

  /** Followers may read from `at` up to this offset; `at` or less: no byte yet. */
  readableFrom(at: number): number {
    return readableEnd(this, this.#file.segments.endFrom(at));
  }

  /** Bytes at `at` that are in memory, and never change. Undefined: to be read from the file. */
  inMemory(at: number): Buffer | undefined {
    return this.#file.inMemory(at);
  }

  /** Bytes from `at` up to this offset are on disk. */
  writtenFrom(at: number): number {
    return this.#file.written.endFrom(at);
  }

  /** The first byte at or after `offset` that isn't here, and where the next one begins that is (if any). */
  gapFrom(offset: number): { readonly start: number; readonly end: number | undefined } {
    return this.#file.segments.nextGap(offset);
  }

  /** As the descriptor or a source says. */
  setSize(size: number): void {
    this.#size = size;
    this.#notifier.ring();
  }

  /** Followers check again: something outside has changed. */
  wake(): void {
    this.#notifier.ring();
  }

  /** From now on the bytes before the first gap go into the hash. Idempotent. */
  hashFront(): void {
    this.#file.startHashing();
  }

  /** They are here at once, and on disk a moment later. Errors: StoreError (`isFull` when the disk is); these bytes are not taken then. */
  async write(at: number, bytes: Buffer): Promise<void> {
    await this.#file.write(at, bytes);
  }

  /** Resolves when all bytes are on disk. Errors: as `write`; it may be tried again. */
  async flush(): Promise<void> {
    await this.#file.flush();
  }

  /** Waits until all bytes are in the hash, then compares. True: followers get the last byte. */
  async verify(): Promise<boolean> {
    await this.#file.settle();
    if (this.#failure !== undefined) throw this.#failure;
    this.#size ??= this.front;
    if (this.front !== this.#size || !this.#file.front.matches()) return false;
    this.#verified = true;
    this.#notifier.ring();
    return true;
  }

  /** After `verify`. Errors: StoreError; followers can still read the open file. */
  async commit(): Promise<void> {
    await this.#journal.settle();
    await this.#options.commit(this.#handle);
  }

  /** Called with the full length on disk, before the digest is compared: after a crash here no upstream is asked again. */
  async journalAll(): Promise<void> {
    await this.#journal.write(this.#size, this.#file.written);
  }

  /** After wrong bytes: from zero again. Followers that have given any out are cut; the others wait on. */
  async restart(): Promise<void> {
    this.#size = undefined;
    await this.#file.restart();
    await guardDisk(this.#options.observer, 'write', async () => {
      await this.#journal.restart();
      await this.#handle.truncate(0);
    });
  }

  /** Followers are cut; the partial is synced and stays for the next request. */
  async suspend(reason: Error): Promise<void> {
    this.#fail(reason);
    await this.#flushQuietly();
    await this.#journal.finish(this.#handle, this.#size, this.#file.written);
  }

  /** Without followers: the partial stays, but is not synced, so a power cut may cost its last bytes. */
  async pause(reason: Error): Promise<void> {
    this.#fail(reason);
    await this.#flushQuietly();
    await this.#journal.write(this.#size, this.#file.written);
  }

  /** Followers are cut and the partial goes. */
  async discard(reason: Error): Promise<void> {
    this.#fail(reason);
    await this.#removeFiles();
  }

  /** The disk is full: followers read the bytes that are here, then go on alone from `NoRoomError.front`. */
  async overflow(): Promise<void> {
    this.#fail(this.noRoom());
    await this.#removeFiles();
  }

  /** For a reader that goes on alone from the front. */
  noRoom(): NoRoomError {
    return new NoRoomError(this.front, this.#file.front.copyHash(), this.#size);
  }

  follow(): Follower {
    return new Follower(this, this.#handle, this.#users.join());
  }

  /** The next one, for all who wait: a chunk that comes makes no promise for each follower. */
  get change(): Promise<void> {
    return this.#notifier.change;
  }

  /** For the opener, once. The descriptor is closed when the opener and all followers have left. */
  release(): Promise<void> {
    return this.#users.release();
  }

  /** The store has reported the error; the journal vouches for what is on disk. */
  async #flushQuietly(): Promise<void> {
    await this.#file.flush().catch(() => undefined);
  }

  async #close(): Promise<void> {
    await this.#file.close();
    await this.#journal.settle();
    await this.#handle.close();
  }

  #fail(reason: Error): void {
    this.#failure ??= reason;
    this.#file.stop();
    this.#notifier.ring();
  }

  async #removeFiles(): Promise<void> {
    await this.#file.freeze();
    await this.#journal.settle();
    await rm(this.#options.partPath, { force: true });
    await rm(this.#options.journalPath, { force: true });
  }
}

async function openPart({
  partPath,
  tempPath,
}: Pick<IngestOptions, 'partPath' | 'tempPath'>): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_CREAT;
  return openRegular(partPath, flags).catch(async error => {
    if (!isOdd(error)) throw error;
    await moveOdd(partPath, tempPath());
    return openRegular(partPath, flags);
  });
}
