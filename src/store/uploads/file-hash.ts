/**
 * The hash of a file that grows at its end. Bytes that were just written come by way of memory; those of an earlier process are read back.
 */
import type { Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { createDigester, type Digest, type DigestAlgorithm, finishDigest } from '../../oci/digest.ts';
import { guardDisk, StoreError, type StoreObserver } from '../store-error.ts';

const blockBytes = 1024 * 1024;

/** Of the bytes below `offset`. */
export class FileHash {
  readonly #algorithm: DigestAlgorithm;
  readonly #observer: StoreObserver;
  #hash: Hash;
  #offset = 0;
  #catchingUp: Promise<void> | undefined;
  #isStopped = false;

  constructor(algorithm: DigestAlgorithm, observer: StoreObserver) {
    this.#algorithm = algorithm;
    this.#observer = observer;
    this.#hash = createDigester(algorithm);
  }

  get offset(): number {
    return this.#offset;
  }

  digest(): Digest {
    return finishDigest(this.#algorithm, this.#hash.copy());
  }

  /** False: bytes before `at` are missing in it, and nothing was taken. */
  advance(at: number, chunks: readonly Buffer[]): boolean {
    if (this.#offset !== at || this.#catchingUp !== undefined) return false;
    for (const chunk of chunks) {
      this.#hash.update(chunk);
      this.#offset += chunk.length;
    }
    return true;
  }

  restart(): void {
    this.#hash = createDigester(this.#algorithm);
    this.#offset = 0;
  }

  /** Reads back up to a moving end. Errors: `StoreError` read; the signal's reason. */
  async catchUp(handle: FileHandle, end: () => number, signal?: AbortSignal): Promise<void> {
    while (this.#catchingUp !== undefined) await this.#catchingUp.catch(() => undefined); // its caller hears of it
    this.#catchingUp = this.#readBack(handle, end, signal).finally(() => {
      this.#catchingUp = undefined;
    });
    await this.#catchingUp;
  }

  /** Nothing is read back any more. */
  stop(): void {
    this.#isStopped = true;
  }

  async #readBack(handle: FileHandle, end: () => number, signal: AbortSignal | undefined): Promise<void> {
    const block = Buffer.allocUnsafe(blockBytes);
    while (this.#offset < end() && !this.#isStopped) {
      signal?.throwIfAborted();
      const wanted = Math.min(blockBytes, end() - this.#offset);
      const read = () => handle.read(block, 0, wanted, this.#offset);
      const { bytesRead } = await guardDisk(this.#observer, 'read', read);
      if (bytesRead === 0) throw tooShort();
      this.#hash.update(block.subarray(0, bytesRead));
      this.#offset += bytesRead;
    }
  }
}

/** The file of an upload has fewer bytes than were written into it. */
export function tooShort(): StoreError {
  return new StoreError('read', 'TRUNCATED', 'the file of an upload is too short');
}
