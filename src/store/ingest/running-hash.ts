/** The contiguous, hashed beginning of a growing file: how far it reaches, and the hash of all before it. */
import type { Hash } from 'node:crypto';
import { algorithmOf, createDigester, type Digest, finishDigest } from '../../oci/digest.ts';

export class RunningHash {
  readonly #digest: Digest;
  #hash: Hash;
  #offset = 0;

  constructor(digest: Digest) {
    this.#digest = digest;
    this.#hash = createDigester(algorithmOf(digest));
  }

  /** Bytes below this are in the hash. */
  get offset(): number {
    return this.#offset;
  }

  /** The bytes that come next. */
  advance(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#offset += bytes.length;
  }

  /** For somebody who hashes on from `offset`. */
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
