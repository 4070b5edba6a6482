/**
 * The room of one download in the store, taken when its size is known and in steps while it isn't. Without room for the
 * first byte, the transfer under way is handed to one client, so that its bytes don't come twice.
 */
import type { Reservation, Room, WholeSize } from '../../capacity/room.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import { StoreError } from '../../store/store-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Chunk } from './resume.ts';

/** Room is taken in such steps, so that evictions follow the bytes that come. */
const growBytes = 16 * 1024 * 1024;

export interface ReservedRoomOptions {
  readonly digest: Digest;
  readonly room: Pick<Room, 'reserve' | 'couldHold'>;
  readonly logger: Logger;
}

/** It ends once: as a held blob, as a partial, or as nothing. */
export class ReservedRoom {
  readonly #options: ReservedRoomOptions;
  #reservation: Reservation | undefined;
  #lastTake: Promise<unknown> = Promise.resolve();

  constructor(options: ReservedRoomOptions) {
    this.#options = options;
  }

  /**
   * Room for `neededBytes` in all, of bytes that are here. `whole`: how many a source has said that it will be, which are
   * promised but evict nothing yet. False: no room. Calls may overlap.
   */
  async take(neededBytes: number, whole: WholeSize): Promise<boolean> {
    if (neededBytes <= (this.#reservation?.bytes ?? -1)) return true;
    const taken = this.#lastTake.then(() => this.#take(neededBytes, whole));
    this.#lastTake = taken.catch(() => undefined);
    return taken;
  }

  /** False: so many bytes can't be held whatever is evicted, and a transfer for them would be in vain. */
  couldHold(bytes: number): boolean {
    return this.#options.room.couldHold(bytes - (this.#reservation?.bytes ?? 0));
  }

  /** A full disk gets one more try after an eviction. False: the disk takes no more. */
  write(ingest: Ingest, chunk: Chunk): Promise<boolean> {
    return this.#toDisk(() => ingest.write(chunk.at, chunk.bytes));
  }

  /** All of it is on disk. As `write`. */
  flush(ingest: Ingest): Promise<boolean> {
    return this.#toDisk(() => ingest.flush());
  }

  async #toDisk(write: () => Promise<void>): Promise<boolean> {
    for (let tries = 1; ; tries += 1) {
      try {
        await write();
        return true;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        if (tries === 1 && error.isFull && (await this.#reservation?.makeRoom())) continue;
        const { digest, logger } = this.#options;
        logger.warn('writing to the store failed, passing the blob through', { digest, error });
        return false;
      }
    }
  }

  /** The blob is in its place. */
  settle(size: number): void {
    this.#reservation?.settle(this.#options.digest, size);
  }

  /** So many bytes stay on disk for the next request. */
  keepPartial(bytes: number): void {
    this.#reservation?.keepPartial(this.#options.digest, bytes);
  }

  /** Idempotent; without effect after `settle` or `keepPartial`. */
  release(): void {
    this.#reservation?.release();
  }

  async #take(neededBytes: number, whole: WholeSize): Promise<boolean> {
    const held = this.#reservation;
    const missing = neededBytes - (held?.bytes ?? 0);
    if (held !== undefined && missing <= 0) return true;
    const left = whole === 'unknown' ? Infinity : Math.max(missing, whole - (held?.bytes ?? 0));
    const bytes = Math.min(left, Math.max(growBytes, missing));
    if (held !== undefined) return held.grow(bytes, whole);
    this.#reservation = await this.#options.room.reserve(bytes, this.#options.digest, whole);
    return this.#reservation !== undefined;
  }
}

export interface Transfer {
  readonly chunks: AsyncGenerator<Chunk, void, void>;
  abort(): void;
}

/** The transfer of a download without room, with its first bytes: for one client, once. The client who took it ends it. */
export class TransferHandoff {
  readonly #abort: () => void;
  #transfer: Transfer | undefined;
  #isOffered = false;

  /** `abort` ends the connection. */
  constructor(abort: () => void) {
    this.#abort = abort;
  }

  /** Also when it has been taken since. */
  get isOffered(): boolean {
    return this.#isOffered;
  }

  offer(first: Chunk, rest: AsyncGenerator<Chunk, void, void>): void {
    this.#isOffered = true;
    const abort = () => {
      this.#abort();
      rest.return().catch(() => {}); // `prepend` may never have been started, and would not do it then
    };
    this.#transfer = { chunks: prepend(first, rest), abort };
  }

  take(): Transfer | undefined {
    const transfer = this.#transfer;
    this.#transfer = undefined;
    return transfer;
  }

  /** Ends it unless it was taken. */
  drop(): void {
    this.take()?.abort();
  }
}

async function* prepend(
  first: Chunk,
  rest: AsyncGenerator<Chunk, void, void>,
): AsyncGenerator<Chunk, void, void> {
  try {
    yield first;
    yield* rest;
  } finally {
    await rest.return();
  }
}
