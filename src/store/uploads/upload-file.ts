/**
 * The bytes of one upload session, `uploads-v1/ID.part`. They are written at the end only and hashed as they come, so that network, disk
 * and hash work at the same time. `written` counts what is in the file: bytes of a write that failed never count. One caller at a time.
 */

import { constants } from 'node:fs';
import { type FileHandle, lstat, unlink } from 'node:fs/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { MemoryReturn } from '../../lib/memory-return.ts';
import { algorithmOf, type Digest } from '../../oci/digest.ts';
import { openRegular } from '../disk-files.ts';
import { guardDisk, ignoreMissing, StoreError, type StoreObserver } from '../store-error.ts';
import { FileHash, tooShort } from './file-hash.ts';
import type { UploadRecord } from './upload-journal.ts';

/** So much may wait for a running write. */
const maxPendingBytes = 1024 * 1024;
/** A power cut costs at most so much of an upload. */
const syncBytes = 64 * 1024 * 1024;

export interface UploadFileOptions {
  readonly record: UploadRecord;
  readonly partPath: string;
  readonly journalPath: string;
  /** Bytes of the part file that can be believed. */
  readonly written: number;
  readonly observer: StoreObserver;
  readonly memory: MemoryReturn;
  /** Keeps in the journal that so many bytes are synced. Errors: any; they are reported. */
  saveSynced(bytes: number): Promise<void>;
}

export class UploadFile {
  readonly record: UploadRecord;
  readonly #options: UploadFileOptions;
  readonly #hash: FileHash;
  #handle: Promise<FileHandle> | undefined;
  #users = 0;
  #isSettled = true;
  #isCatchingUp = false;
  #isHandedOver = false;
  #written: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #writing: Promise<void> | undefined;
  #failure: StoreError | undefined;
  #syncedBytes: number;
  #syncing: Promise<void> | undefined;

  constructor(options: UploadFileOptions) {
    this.record = options.record;
    this.#options = options;
    this.#written = options.written;
    this.#syncedBytes = options.written;
    this.#hash = new FileHash(options.record.algorithm, options.observer);
  }

  /** Bytes in the file. */
  get written(): number {
    return this.#written;
  }

  /** `written` and what is on its way there. */
  get end(): number {
    return this.#written + this.#pendingBytes;
  }

  /**
   * Takes bytes, which then belong to the file, and resolves when more may come. `makeRoom` is called once for a full disk.
   * Errors: `StoreError` of this or an earlier write; the bytes that had not been written are dropped.
   */
  async write(bytes: Buffer, makeRoom: () => Promise<boolean>): Promise<void> {
    this.#throwFailure();
    if (bytes.length === 0) return;
    this.#isSettled = false;
    this.#pending.push(bytes);
    this.#pendingBytes += bytes.length;
    this.#writing ??= this.#writePending(makeRoom).finally(() => {
      this.#writing = undefined;
    });
    if (this.#pendingBytes < maxPendingBytes) return;
    await this.#writing;
    this.#throwFailure();
  }

  /** Resolves when nothing is on its way to the disk any more, so that `written` is what an answer may say. */
  async drained(): Promise<void> {
    await this.#writing;
  }

  /** As `drained`, and closes the descriptor. Errors: as `write`. */
  async settle(): Promise<void> {
    await this.#writing;
    await this.#closeIfIdle();
    this.#throwFailure();
  }

  /** Of all bytes written, with the algorithm of `digest`. Errors: `StoreError` read; the signal's reason. */
  async matches(digest: Digest, signal: AbortSignal): Promise<boolean> {
    const algorithm = algorithmOf(digest);
    const hash =
      algorithm === this.record.algorithm ? this.#hash : new FileHash(algorithm, this.#options.observer);
    if (hash.offset < this.#written)
      await this.#use(handle => hash.catchUp(handle, () => this.#written, signal));
    return hash.digest() === digest;
  }

  /**
   * Gives the file to `place`, which renames it, cut to what was written. If that fails, `isHandedOver` says whether the file has its new
   * name all the same. Errors: `StoreError`; those of `place`.
   */
  async handOver(place: (handle: FileHandle, path: string) => Promise<void>): Promise<void> {
    const { observer, partPath } = this.#options;
    let isThere = false;
    try {
      await this.#use(async handle => {
        await guardDisk(observer, 'write', () => cut(handle, this.#written));
        isThere = true;
        await place(handle, partPath);
      });
      this.#isHandedOver = true;
    } catch (error) {
      const part = await guardDisk(observer, 'open', () => lstat(partPath).catch(ignoreMissing));
      this.#isHandedOver = isThere && part === undefined;
      throw error;
    }
  }

  /** The part file has become a blob: nothing can be added to it. */
  get isHandedOver(): boolean {
    return this.#isHandedOver;
  }

  /** The session ends; its part may have been handed over. A crash in between leaves a part alone, which the next start sweeps. */
  async remove(): Promise<void> {
    this.#hash.stop();
    await this.settle().catch(() => undefined); // its bytes go anyway
    await this.#syncing; // it writes the journal
    const { observer, journalPath, partPath } = this.#options;
    for (const path of [journalPath, partPath])
      await guardDisk(observer, 'unlink', () => unlink(path).catch(ignoreMissing));
  }

  async #writePending(makeRoom: () => Promise<boolean>): Promise<void> {
    try {
      await this.#use(async handle => {
        while (this.#pendingBytes > 0) {
          if (this.#pendingBytes < maxPendingBytes) await nextTurn(); // what the socket holds is read in one turn
          const chunks = this.#pending;
          const bytes = this.#pendingBytes;
          this.#pending = [];
          await this.#writeAll(handle, chunks, makeRoom);
          this.#written += bytes;
          this.#pendingBytes -= bytes;
          this.#options.memory.giveBack(chunks);
          this.#syncSometimes();
        }
      });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#failure = error;
      this.#pending = [];
      this.#pendingBytes = 0;
    }
  }

  /** The hash works while the disk does. */
  async #writeAll(handle: FileHandle, chunks: readonly Buffer[], makeRoom: () => Promise<boolean>) {
    const at = this.#written;
    const writing = this.#tryTwice(() => writeFully(handle, chunks, at), makeRoom);
    const isHashed = this.#hash.advance(at, chunks);
    try {
      await writing;
    } catch (error) {
      if (isHashed) this.#hash.restart(); // it is ahead of the file
      throw error;
    }
    const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
    if (isHashed || this.#isCatchingUp) return;
    this.#isCatchingUp = true;
    void this.#use(own => this.#hash.catchUp(own, () => Math.max(this.#written, at + bytes)))
      .catch(() => undefined) // `matches` meets the same failure
      .finally(() => {
        this.#isCatchingUp = false;
      });
  }

  async #tryTwice(write: () => Promise<void>, makeRoom: () => Promise<boolean>): Promise<void> {
    const { observer } = this.#options;
    try {
      await guardDisk(observer, 'write', write);
    } catch (error) {
      if (!(error instanceof StoreError) || !error.isFull || !(await makeRoom())) throw error;
      await guardDisk(observer, 'write', write);
    }
  }

  /** In the background. A failure costs bytes after a power cut, no more. */
  #syncSometimes(): void {
    const bytes = this.#written;
    if (bytes - this.#syncedBytes < syncBytes || this.#syncing !== undefined) return;
    const { observer, saveSynced } = this.#options;
    this.#syncing = this.#use(handle => handle.datasync())
      .then(() => saveSynced(bytes))
      .catch(() => observer.storeError('journal'))
      .finally(() => {
        this.#syncedBytes = bytes;
        this.#syncing = undefined;
      });
  }

  /** The descriptor stays open while one works with it, and until `settle` between two pieces of work. */
  async #use<T>(work: (handle: FileHandle) => Promise<T>): Promise<T> {
    const { observer, partPath } = this.#options;
    // Later the file must be there: an empty one in its place would be taken for the bytes.
    const flags = this.#written === 0 ? constants.O_RDWR | constants.O_CREAT : constants.O_RDWR;
    this.#users += 1;
    try {
      this.#handle ??= guardDisk(observer, 'open', () => openRegular(partPath, flags));
      return await work(await this.#handle);
    } finally {
      this.#users -= 1;
      if (this.#isSettled) await this.#closeIfIdle();
    }
  }

  async #closeIfIdle(): Promise<void> {
    this.#isSettled = true;
    if (this.#users > 0) return;
    const handle = this.#handle;
    this.#handle = undefined;
    // Nothing was promised of unsynced bytes, and a file that could not be opened has failed its user.
    await handle?.then(opened => opened.close()).catch(() => undefined);
  }

  #throwFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure !== undefined) throw failure;
  }
}

/** A write that failed may have left more. Errors: `StoreError` when it is shorter. */
async function cut(handle: FileHandle, bytes: number): Promise<void> {
  const { size } = await handle.stat();
  if (size < bytes) throw tooShort();
  if (size > bytes) await handle.truncate(bytes);
}

async function writeFully(handle: FileHandle, chunks: readonly Buffer[], at: number): Promise<void> {
  for (let rest = chunks; rest.length > 0; ) {
    const { bytesWritten } = await handle.writev([...rest], at);
    at += bytesWritten;
    rest = dropBytes(rest, bytesWritten);
  }
}

function dropBytes(chunks: readonly Buffer[], bytes: number): readonly Buffer[] {
  const rest: Buffer[] = [];
  for (const chunk of chunks) {
    if (bytes < chunk.length) rest.push(chunk.subarray(bytes));
    bytes = Math.max(0, bytes - chunk.length);
  }
  return rest;
}
