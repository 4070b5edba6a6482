/**
 * What of a growing blob may be given out. Nothing of a blob up to `verifyFirstBytes`, and not the last byte of a larger
 * one, before the whole digest is right; of the rest whatever is on disk. While the size isn't known, any byte may turn
 * out to be the last one: then only what lies before the front's own last byte.
 */

/** Blobs up to this size are verified before their first byte is given out (docs/behaviour.md, "A blob"). */
export const verifyFirstBytes = 1024 * 1024;

export interface Growth {
  /** In the hash and on disk. */
  readonly front: number;
  /** Of the whole blob, in bytes; undefined while unknown. */
  readonly size: number | undefined;
  readonly verified: boolean;
}

/** Below this offset everything may be given out. */
export function readableFront({ front, size, verified }: Growth): number {
  if (verified) return size ?? front;
  if ((size ?? front) <= verifyFirstBytes) return 0;
  return size === undefined ? front - 1 : Math.min(front, size - 1);
}

/** From an offset on, of which bytes up to `heldEnd` are on disk: one past the last that may be given out. */
export function readableEnd(growth: Growth, heldEnd: number): number {
  const front = readableFront(growth);
  const { size, verified } = growth;
  if (verified || size === undefined || size <= verifyFirstBytes) return front;
  return Math.max(front, Math.min(heldEnd, size - 1));
}
