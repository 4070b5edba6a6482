/**
 * One pass of the scrub: every held file is read and compared with its digest, in the order of digests, at its pace, from where an earlier
 * pass was ended. Live transfers go first: while one runs, it reads a block a second. Then it looks whether all that is hosted is there.
 */
import { TimeSlice } from '../lib/time-slice.ts';
import { TokenBucket } from '../lib/token-bucket.ts';
import { systemTimers, type Timers, wait } from '../lib/wait.ts';
import type { Digest } from '../oci/digest.ts';
import type { ScrubProblem } from '../registry/scrub-report.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import type { ScrubPosition } from '../store/scrub-file.ts';
import { ifReadable, StoreError } from '../store/store-error.ts';
import type { HeldFiles } from './held-files.ts';

/** A file that is not what its name says. */
export interface Found {
  readonly digest: Digest;
  readonly problem: ScrubProblem;
  /** A hosted repository links it, or may do so. */
  readonly isHosted: boolean;
  /** Empty: there is no file. */
  readonly fileId: string;
  readonly bytes: number;
}

/** What a scrub looks through. */
export interface ScrubSource {
  readonly store: Pick<BlobStore, 'open' | 'sizeOf'>;
  readonly files: Pick<HeldFiles, 'bad' | 'checks' | 'open'>;
  /** Held files in the order of their digests, those after `after`. */
  walk(after: Digest | undefined): AsyncIterable<Digest>;
  /** All that hosted repositories link. Empty while that is not known. */
  hosted(): Iterable<Digest>;
  /** A hosted repository links it, or may do so. */
  isHosted(digest: Digest): boolean;
  /** A transfer runs that a client, an upstream or a peer waits for; the scrub itself has one file open. */
  isBusy(): boolean;
  /** Bytes of all that is held, as far as is known. */
  heldBytes(): number;
}

export interface ScrubPassOptions {
  readonly source: ScrubSource;
  /** Where it begins. */
  readonly position: ScrubPosition;
  /** 0: as fast as the disk reads. */
  readonly bytesPerSecond: number;
  /** A file was read, or went meanwhile. */
  compared(position: ScrubPosition): void;
  /** Resolves when that is dealt with. */
  found(found: Found): Promise<void>;
  readonly timers?: Timers;
}

/** A pause of a quarter of a second, and at most a whole second for each block. */
const yieldMs = 250;
const maxYields = 4;
/** So much at once after a rest: a large block. */
const burstBytes = 512 * 1024;

export class ScrubPass {
  readonly #options: ScrubPassOptions;
  readonly #timers: Timers;
  #bucket: TokenBucket | undefined;
  #position: ScrubPosition;

  constructor(options: ScrubPassOptions) {
    this.#options = options;
    this.#timers = options.timers ?? systemTimers;
    this.#position = options.position;
    this.pace(options.bytesPerSecond);
  }

  get position(): ScrubPosition {
    return this.#position;
  }

  /** From now on. 0: as fast as the disk reads. */
  pace(bytesPerSecond: number): void {
    this.#bucket =
      bytesPerSecond === 0 ? undefined : new TokenBucket({ perSecond: bytesPerSecond, burst: burstBytes });
  }

  /** Errors: the signal's reason; the position says what is compared. */
  async run(signal: AbortSignal): Promise<void> {
    for await (const digest of this.#options.source.walk(this.#position.after)) {
      signal.throwIfAborted();
      const bytes = await this.#compare(digest, signal);
      const { files, bytes: before, startedMs } = this.#position;
      this.#position = { startedMs, after: digest, files: files + 1, bytes: before + bytes };
      this.#options.compared(this.#position);
    }
    await this.#lookForMissing(signal);
  }

  /** Resolves with the bytes read. Errors: the signal's reason. */
  async #compare(digest: Digest, signal: AbortSignal): Promise<number> {
    const { store, files } = this.#options.source;
    try {
      const held = await store.open(digest);
      if (held === undefined) return 0; // it went meanwhile
      const { fileId, size } = held;
      try {
        const isGood = held.isFile && (await this.#isGood(digest, held, signal));
        if (!held.isFile) await files.bad.damaged(digest, fileId, 'blob', 'it is no regular file');
        if (!isGood) await this.#tell({ digest, problem: 'damaged', fileId, bytes: size });
      } finally {
        await held.close();
      }
      return size;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.isPassing) return 0; // the process is short of something: the next pass looks again
      await files.bad.unreadable(digest, undefined, 'blob', error);
      await this.#tell({ digest, problem: 'damaged', fileId: '', bytes: 0 });
      return 0;
    }
  }

  /** Errors: the signal's reason; a passing `StoreError`. */
  async #isGood(
    digest: Digest,
    held: Parameters<HeldFiles['checks']['paced']>[1],
    signal: AbortSignal,
  ): Promise<boolean> {
    const result = await this.#options.source.files.checks.paced(digest, held, bytes =>
      this.#wait(bytes, signal),
    );
    signal.throwIfAborted();
    return result !== 'bad';
  }

  async #wait(bytes: number, signal: AbortSignal): Promise<void> {
    const waitMs = this.#bucket?.take(bytes) ?? 0;
    if (waitMs > 0) await wait(this.#timers, waitMs, signal);
    else signal.throwIfAborted();
    for (let yields = 0; yields < maxYields && this.#options.source.isBusy(); yields += 1)
      await wait(this.#timers, yieldMs, signal);
  }

  /** Only what is hosted: a cached file that is gone is fetched when it is asked for. */
  async #lookForMissing(signal: AbortSignal): Promise<void> {
    const { source } = this.#options;
    const slice = new TimeSlice();
    for (const digest of source.hosted()) {
      signal.throwIfAborted();
      const size = await ifReadable(source.store.sizeOf(digest).catch(unlessMoment));
      if (size === undefined && source.isHosted(digest))
        await this.#tell({ digest, problem: 'missing', fileId: '', bytes: 0 });
      await slice.pause();
    }
  }

  async #tell(found: Omit<Found, 'isHosted'>): Promise<void> {
    await this.#options.found({ ...found, isHosted: this.#options.source.isHosted(found.digest) });
  }
}

/** Short of descriptors for a moment: as if it were there. */
function unlessMoment(error: unknown): number {
  if (error instanceof StoreError && error.isPassing) return 0;
  throw error;
}
