/**
 * The room that one download has in the store: taken when its size is known, in steps while it isn't, and ended once, as
 * a held blob, as a partial, or as nothing. A full disk gets one chance: the evictor frees what it can.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import { StoreError } from '../../store/store-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
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
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: ReservedRoomOptions) {
    this.#options = options;
  }

  /**
   * Room for `neededBytes` in all. `isExact`: that is what will be needed; else some steps ahead are taken. False: there is
   * none. Several may ask at once.
   */
  async take(neededBytes: number, isExact: boolean): Promise<boolean> {
    if (neededBytes <= (this.#reservation?.bytes ?? -1)) return true;
    const taken = this.#turn.then(() => this.#take(neededBytes, isExact));
    this.#turn = taken.catch(() => undefined);
    return taken;
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

  async #take(neededBytes: number, isExact: boolean): Promise<boolean> {
    const held = this.#reservation;
    if (held === undefined) {
      this.#reservation = await this.#options.reserve(
        isExact ? neededBytes : Math.max(growBytes, neededBytes),
      );
      return this.#reservation !== undefined;
    }
    const missing = neededBytes - held.bytes;
    return missing <= 0 || held.grow(isExact ? missing : Math.max(growBytes, missing));
  }
}
