/**
 * What a client's range means for a download: whether it ends, where it begins, and whether it needs the whole blob.
 */
import type { ByteRange } from '../../oci/range.ts';
import { verifyFirstBytes } from '../../store/ingest/follower.ts';

/** Inclusive, as in the header. */
export interface ClosedRange {
  readonly first: number;
  readonly last: number;
}

/** It names its last byte, so it can be fetched by itself. */
export function isClosed(range: ByteRange): range is ClosedRange {
  return 'first' in range && range.last !== undefined;
}

/** Where it begins, as far as that is known without the size: a suffix counts as the whole. */
export function firstOf(range: ByteRange | undefined): number {
  return range !== undefined && 'first' in range ? range.first : 0;
}

/** A small blob is verified first, and a last byte needs all before it: both are worth a whole download. */
export function needsWhole(range: ClosedRange, size: number): boolean {
  return range.last >= size - 1 || size <= verifyFirstBytes;
}
