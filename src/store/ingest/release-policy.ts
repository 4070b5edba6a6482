/**
 * Which bytes of a growing blob may be given out before its digest is verified: none of a blob up to `verifyFirstBytes`, all but the last
 * of a larger one. While the size is unknown, any byte could be the last one: then all before the front's own last byte.
 */

/** Blobs up to this size are verified before their first byte is given out (docs/behaviour.md, "A blob"). */
export const verifyFirstBytes = 1024 * 1024;

export interface Growth {
  /** Bytes below it are in the hash and on disk. */
  readonly front: number;
  /** Of the whole blob, in bytes; undefined while unknown. */
  readonly size: number | undefined;
  readonly verified: boolean;
}

/** All bytes below this offset may be given out. */
export function readableFront({ front, size, verified }: Growth): number {
  if (verified) return size ?? front;
  if ((size ?? front) <= verifyFirstBytes) return 0;
  return size === undefined ? front - 1 : Math.min(front, size - 1);
}

/** For an offset from which bytes up to `heldEnd` are on disk: one past the last that may be given out. */
export function readableEnd(growth: Growth, heldEnd: number): number {
  const front = readableFront(growth);
  const { size, verified } = growth;
  if (verified || size === undefined || size <= verifyFirstBytes) return front;
  return Math.max(front, Math.min(heldEnd, size - 1));
}
