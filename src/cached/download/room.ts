/** What a download needs of the store's capacity; `capacity/capacity.ts` gives it, a test may give less. */
import type { Digest } from '../../oci/digest.ts';

export interface ByteReservation {
  readonly bytes: number;
  /** False: no room for `extra` more bytes; what was reserved stays. */
  grow(extra: number): Promise<boolean>;
  /** The disk itself is full though the limit isn't reached: evicts some. False: nothing could be freed. */
  makeRoom(): Promise<boolean>;
  /** The blob is in the store: the reservation becomes its size. */
  settle(digest: Digest, size: number): void;
  /** A partial of that many bytes stays on disk. */
  keepPartial(digest: Digest, bytes: number): void;
  release(): void;
}
