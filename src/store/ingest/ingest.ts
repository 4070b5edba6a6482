/**
 * One blob that is being filled: a file that grows, hashed as its contiguous front moves, read by any number of
 * followers while it grows. It knows nothing of networks; a download writes into it.
 *
 * Guarantees: the front counts bytes that are on disk *and* in the hash; followers see what is on disk, but the last
 * byte (and all of a small blob) is held back until the whole digest is right (`hold-back.ts`); what is on disk
 * survives the process through the journal. Order at the end: digest, last byte to the followers, fsync, rename.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { Notifier, type Wait } from '../../lib/notifier.ts';
import type { Digest } from '../../oci/digest.ts';
import { guardDisk } from '../store-error.ts';
import { Follower } from './follower.ts';
import { GrowingFile } from './growing-file.ts';
import { NoRoomError } from './ingest-error.ts';
import { IngestJournal, type OpenedJournal } from './ingest-journal.ts';
import type { IngestOptions } from './ingest-options.ts';
import { IngestUsers } from './ingest-users.ts';
import { readableEnd, readableFront } from './release-policy.ts';

export class Ingest {
  readonly digest: Digest;
  readonly #options: IngestOptions;
  readonly #handle: FileHandle;
  readonly #journal: IngestJournal;
  readonly #bell = new Notifier();
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
    const onError = (error: Error) => this.#fail(error);
    this.#file = new GrowingFile({ digest, handle, segments, bell: this.#bell, observer, onError });
    if (options.hashesLater !== true) this.hashFront();
    this.#users = new IngestUsers({
      onFollowers: count => options.onFollowers(count),
      onLast: () => this.#close(),
    });
  }

  /** Opens the partial of an earlier try, cut back to what its journal vouches for, or a new one. Errors: StoreError. */
  static async open(options: IngestOptions): Promise<Ingest> {
    return guardDisk(options.observer, 'open', async () => {
      const opened = await IngestJournal.open(options);
      const handle = await open(options.partPath, constants.O_RDWR | constants.O_CREAT, 0o640);
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

  /** False once everybody has left: the descriptor is closed, and the blob is in its place or gone. */
  get isOpen(): boolean {
    return this.#users.isAny;
  }

  /** Somebody waits who has not been given a byte yet: worth a second try after wrong bytes. */
  get hasUntouchedFollower(): boolean {
    return this.#users.hasUntouchedFollower;
  }

  /** Grows by one at each restart; a follower that has given out bytes of an older generation must stop. */
  get generation(): number {
    return this.#file.generation;
  }

  /** Bytes on disk, whether hashed yet or not. */
  get heldBytes(): number {
    return this.#file.segments.bytes;
  }

  /** Followers may read all below this offset. */
  get readable(): number {
    return readableFront(this);
  }

  /** Followers may read from `at` to this offset; `at` or less: nothing yet. */
  readableFrom(at: number): number {
    return readableEnd(this, this.#file.segments.endFrom(at));
  }

  /** The first byte at or after `offset` that isn't on disk, and where the next one begins that is (if any). */
  gapFrom(offset: number): { readonly start: number; readonly end: number | undefined } {
    return this.#file.segments.nextGap(offset);
  }

  /** Learnt from the descriptor or a source. */
  setSize(size: number): void {
    this.#size = size;
    this.#bell.ring();
  }

  /** Something that followers wait for has changed outside. */
  wake(): void {
    this.#bell.ring();
  }

  /** The blob is wanted as a whole: what lies before the first gap goes into the hash from now on. Idempotent. */
  hashFront(): void {
    this.#file.startHashing();
  }

  /** Errors: StoreError (`isFull` when the disk is); the bytes before it stay. */
  async write(at: number, bytes: Buffer): Promise<void> {
    if (!(await this.#file.write(at, bytes))) return;
    this.#journal.progressed(this.#handle, bytes.length, this.#size, this.#file.segments);
  }

  /** Waits until all bytes on disk are in the hash, then compares. True: followers may have the last byte. */
  async verify(): Promise<boolean> {
    await this.#file.settle();
    if (this.#failure !== undefined) throw this.#failure;
    this.#size ??= this.front;
    if (this.front !== this.#size || !this.#file.front.matches()) return false;
    this.#verified = true;
    this.#bell.ring();
    return true;
  }

  /** After `verify`. Errors: StoreError; followers go on reading from the open file all the same. */
  async commit(): Promise<void> {
    await this.#journal.settle();
    await this.#options.commit(this.#handle);
  }

  /** The full length is on disk: written down before the digest is compared, so that a crash here asks nobody. */
  async journalAll(): Promise<void> {
    await this.#journal.write(this.#size, this.#file.segments);
  }

  /** The bytes were wrong: from zero again. Followers that have given any out are cut; the others wait on. */
  async restart(): Promise<void> {
    this.#size = undefined;
    await this.#file.restart();
    await guardDisk(this.#options.observer, 'write', async () => {
      await this.#journal.restart();
      await this.#handle.truncate(0);
    });
  }

  /** No way on for now: followers are cut, the partial stays for the next ask. */
  async suspend(reason: Error): Promise<void> {
    this.#fail(reason);
    await this.#journal.finish(this.#handle, this.#size, this.#file.segments);
  }

  /** Nobody wants more of it for now. Written down for a crash of the process; a power cut may cost its last bytes. */
  async pause(reason: Error): Promise<void> {
    this.#fail(reason);
    await this.#journal.write(this.#size, this.#file.segments);
  }

  /** Followers are cut and the partial goes. */
  async discard(reason: Error): Promise<void> {
    this.#fail(reason);
    await this.#removeFiles();
  }

  /** The disk is full: followers drain what is there, then read on by themselves from `NoRoomError.front`. */
  async overflow(): Promise<void> {
    this.#fail(this.noRoom());
    await this.#removeFiles();
  }

  /** For who can't wait for room: where the front is, to go on from by oneself. */
  noRoom(): NoRoomError {
    return new NoRoomError(this.front, this.#file.front.copyHash(), this.#size);
  }

  follow(): Follower {
    return new Follower(this, this.#handle, this.#users.join());
  }

  /** Resolves at the next change, or when `cancel` is called. */
  nextChange(): Wait {
    return this.#bell.next();
  }

  /** The opener's share (and each follower's) of the descriptor; the last one closes it. */
  release(): Promise<void> {
    return this.#users.release();
  }

  async #close(): Promise<void> {
    this.#file.stop();
    await this.#file.settle();
    await this.#journal.settle();
    await this.#handle.close();
  }

  #fail(reason: Error): void {
    this.#failure ??= reason;
    this.#file.stop();
    this.#bell.ring();
  }

  async #removeFiles(): Promise<void> {
    await this.#journal.settle();
    await rm(this.#options.partPath, { force: true });
    await rm(this.#options.journalPath, { force: true });
  }
}
