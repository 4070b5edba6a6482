/**
 * The room that one download has in the store: taken when its size is known, in steps while it isn't, and ended once, as
 * a held blob, as a partial, or as nothing. A full disk gets one chance: the evictor frees what it can.
 */
import type { Digest } from '../oci/digest.ts';
import type { Ingest } from '../store/ingest.ts';
import { StoreError } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Chunk } from './resume.ts';
import type { ByteReservation } from './room.ts';

/** Room is taken in such steps while the size is unknown. */
const growBytes = 16 * 1024 * 1024;

export interface ReservedRoomOptions {
  readonly digest: Digest;
  readonly logger: Logger;
  reserve(bytes: number): Promise<ByteReservation | undefined>;
}

export class ReservedRoom {
  readonly #options: ReservedRoomOptions;
  #reservation: ByteReservation | undefined;

  constructor(options: ReservedRoomOptions) {
    this.#options = options;
  }

  /** Room for `neededBytes` in all; of a known `size`, for all of it. False: there is none. */
  async take(neededBytes: number, size: number | undefined): Promise<boolean> {
    const held = this.#reservation;
    if (held === undefined) {
      this.#reservation = await this.#options.reserve(size ?? Math.max(growBytes, neededBytes));
      return this.#reservation !== undefined;
    }
    return held.bytes >= neededBytes || held.grow(Math.max(growBytes, neededBytes - held.bytes));
  }

  /** False: the disk takes no more. */
  async write(ingest: Ingest, chunk: Chunk): Promise<boolean> {
    for (let tries = 1; ; tries += 1) {
      try {
        await ingest.write(chunk.at, chunk.bytes);
        return true;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (tries === 1 && error.isFull && (await this.#reservation?.makeRoom())) continue;
        const { digest, logger } = this.#options;
        logger.warn('the disk takes no more, passing the blob through', { digest, error });
        return false;
      }
    }
  }

  /** The blob is in its place. */
  settle(size: number): void {
    this.#reservation?.settle(this.#options.digest, size);
  }

  /** So many bytes stay on disk for the next ask. */
  keepPartial(bytes: number): void {
    this.#reservation?.keepPartial(this.#options.digest, bytes);
  }

  /** Idempotent; without effect after `settle` or `keepPartial`. */
  release(): void {
    this.#reservation?.release();
  }
}
