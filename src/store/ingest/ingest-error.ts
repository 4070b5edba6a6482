/** Why a follower of an ingest can't go on; `cached/` decides what becomes of its client. */
import type { Hash } from 'node:crypto';
import type { Digest } from '../../oci/digest.ts';

/** Bytes that were given out turned out to be wrong: the body must be cut. */
export class MismatchError extends Error {
  constructor(digest: Digest) {
    super(`the bytes received do not have the digest ${digest}`);
    this.name = 'MismatchError';
  }
}

/** The disk has no room left; bytes below `front` were right as far as `hash` knows. */
export class NoRoomError extends Error {
  readonly front: number;
  readonly size: number | undefined;
  readonly #hash: Hash;

  constructor(front: number, hash: Hash, size: number | undefined) {
    super(`no room in the store after ${front} bytes`);
    this.name = 'NoRoomError';
    this.front = front;
    this.size = size;
    this.#hash = hash;
  }

  /** The hash of all bytes below `front`, for one more reader. */
  copyHash(): Hash {
    return this.#hash.copy();
  }
}
