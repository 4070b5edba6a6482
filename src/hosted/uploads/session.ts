/**
 * One upload session. Its appends, commit and cancel run one after the other; a new one ends what still runs, because the client of a
 * running one is mostly dead. Bytes that were written stay, whatever happens to the request that brought them.
 */
import type { UploadReservation } from '../../capacity/upload-room.ts';
import { waitFor } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { AppendOptions, BlobStored, UploadSession } from '../../registry/writer.ts';
import type { BlobStore } from '../../store/blobs/blob-store.ts';
import { StoreError } from '../../store/store-error.ts';
import type { UploadFile } from '../../store/uploads/upload-file.ts';
import type { UploadObserver, UploadResult } from '../../telemetry/observer.ts';
import type { BlobLinks } from '../blob-links.ts';

export interface HostedUploadOptions {
  readonly file: UploadFile;
  readonly room: UploadReservation;
  readonly store: Pick<BlobStore, 'commitUpload' | 'syncName'>;
  readonly links: Pick<BlobLinks, 'link' | 'requireQuota'>;
  readonly observer: Pick<UploadObserver, 'received'>;
  /** The blob is in its place, but could not be linked: nothing references it, and it may be evicted. */
  orphaned(digest: Digest, size: number): void;
  /** Called once, when its files are gone. */
  ended(id: string, result: UploadResult): void;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** One call that has the session, or waits for it. */
interface Turn {
  readonly stop: AbortController;
  readonly done: Promise<unknown>;
}

export class HostedUpload implements UploadSession {
  readonly kind = 'session';
  readonly #options: HostedUploadOptions;
  readonly #file: UploadFile;
  #turn: Turn | undefined;
  #hasEnded = false;
  #verified: Digest | undefined;
  #lastUseMs: number;

  constructor(options: HostedUploadOptions, lastUseMs: number) {
    this.#options = options;
    this.#file = options.file;
    this.#lastUseMs = lastUseMs;
  }

  get id(): string {
    return this.#file.record.id;
  }

  get offset(): number {
    return this.#file.written;
  }

  get expected(): Digest | undefined {
    return this.#file.record.expected;
  }

  /** Milliseconds since the epoch. */
  get beganMs(): number {
    return this.#file.record.beganAt;
  }

  get isActive(): boolean {
    return this.#turn !== undefined;
  }

  /** For how long no request has used it. */
  idleMs(nowMs: number): number {
    return this.#turn === undefined ? nowMs - this.#lastUseMs : 0;
  }

  /** A request asked for it. Resolves when `offset` says all that is written. */
  async used(): Promise<void> {
    this.#lastUseMs = this.#options.now();
    await this.#file.drained();
  }

  append(at: number | undefined, body: AsyncIterable<Buffer>, options: AppendOptions): Promise<void> {
    return this.#inTurn(options.signal, async signal => {
      if (at !== undefined && at !== this.offset) throw outOfOrder(this.offset, at);
      const whole = options.bytes === undefined ? undefined : this.offset + options.bytes;
      const { repository } = this.#file.record;
      await this.#options.links.requireQuota(
        repository,
        options.digest ?? this.expected,
        whole ?? this.offset,
      );
      const chunks = body[Symbol.asyncIterator]();
      try {
        await this.#take(chunks, whole, signal);
      } finally {
        // Not awaited: a body that waits for its client would answer only then.
        chunks.return?.()?.catch(() => undefined);
        await this.#settle();
      }
    });
  }

  commit(digest: Digest, options: { readonly signal: AbortSignal }): Promise<BlobStored> {
    return this.#inTurn(options.signal, async signal => {
      if (!(await this.#matches(digest, signal))) {
        await this.#end('failed');
        throw new RegistryError('DIGEST_INVALID', {
          message: `the bytes of the upload, or the digest told at its beginning, do not match ${digest}`,
        });
      }
      signal.throwIfAborted(); // from here on it is finished, even if the client leaves
      const size = this.offset;
      await this.#link(digest, size);
      await this.#end('committed');
      return { digest, size };
    });
  }

  cancel(): Promise<void> {
    return this.#inTurn(undefined, () => this.#end('cancelled'));
  }

  /** Resolves with false when a request came in between. */
  async expire(): Promise<boolean> {
    if (this.#turn !== undefined || this.#hasEnded) return false;
    await this.#inTurn(undefined, () => this.#end('expired'));
    return true;
  }

  async #take(chunks: AsyncIterator<Buffer>, whole: number | undefined, signal: AbortSignal): Promise<void> {
    for (;;) {
      const next = await waitFor(chunks.next(), signal);
      if (next.done === true) return;
      this.#options.observer.received(next.value.length);
      const left = (whole ?? Infinity) - this.#file.end;
      await this.#write(next.value.subarray(0, left), whole);
      if (next.value.length > left)
        throw new RegistryError('SIZE_INVALID', { message: 'the chunk is longer than announced' });
    }
  }

  async #write(bytes: Buffer, whole: number | undefined): Promise<void> {
    if (bytes.length === 0) return;
    if (this.#file.isHandedOver)
      throw new RegistryError('BLOB_UPLOAD_INVALID', {
        message: 'the upload is complete: only its link is missing',
      });
    if (!(await this.#options.room.take(this.#file.end + bytes.length, whole))) throw full();
    await onDisk(() => this.#file.write(bytes, () => this.#options.room.makeRoom()));
    this.#options.room.wrote(this.offset);
    this.#lastUseMs = this.#options.now();
  }

  async #settle(): Promise<void> {
    try {
      await onDisk(() => this.#file.settle());
    } finally {
      this.#options.room.wrote(this.offset);
      this.#options.room.trim();
    }
  }

  async #matches(digest: Digest, signal: AbortSignal): Promise<boolean> {
    if (this.expected !== undefined && this.expected !== digest) return false;
    if (this.#file.isHandedOver) return this.#verified === digest;
    if (!(await onDisk(() => this.#file.matches(digest, signal)))) return false;
    this.#verified = digest;
    return true;
  }

  async #link(digest: Digest, size: number): Promise<void> {
    const { links, store, orphaned } = this.#options;
    const { repository, user } = this.#file.record;
    const bring = async (heldBytes: number | undefined): Promise<number | undefined> => {
      if (heldBytes === size) await store.syncName(digest);
      else if (this.#file.isHandedOver) return undefined;
      else await this.#file.handOver((handle, path) => store.commitUpload(digest, handle, path));
      return size;
    };
    try {
      const linked = await onDisk(() => links.link({ repository, digest, user, how: 'push' }, bring));
      if (linked !== undefined) return;
    } catch (error) {
      if (this.#file.isHandedOver) orphaned(digest, size);
      throw error;
    }
    await this.#end('failed'); // it waited too long for its link, and the blob has been evicted
    throw unknown();
  }

  async #end(result: UploadResult): Promise<void> {
    this.#hasEnded = true;
    this.#options.room.release();
    // Reported already. A file that stays is swept at the next start, and no request finds the session.
    await this.#file.remove().catch(() => undefined);
    this.#options.ended(this.id, result);
  }

  /** Errors: BLOB_UPLOAD_UNKNOWN after its end; BLOB_UPLOAD_INVALID when a later call has taken it over; those of `work`. */
  #inTurn<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const former = this.#turn;
    const stop = new AbortController();
    former?.stop.abort(takenOver());
    const signals = signal === undefined ? [stop.signal] : [stop.signal, signal];
    const run = async (): Promise<T> => {
      await former?.done;
      if (this.#hasEnded) throw unknown();
      const both = AbortSignal.any(signals);
      both.throwIfAborted();
      this.#lastUseMs = this.#options.now();
      return work(both);
    };
    const result = run();
    this.#turn = { stop, done: result.catch(() => undefined).then(() => this.#leave(stop)) };
    return result;
  }

  #leave(stop: AbortController): void {
    if (this.#turn?.stop === stop) this.#turn = undefined;
  }
}

/** A disk that can't be written is no fault of the client's, and passes. */
async function onDisk<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    if (error.isFull) throw full(error);
    throw new RegistryError('UNAVAILABLE', {
      message: 'the store of this registry cannot be written now; the upload may go on later',
      cause: error,
    });
  }
}

function full(cause?: StoreError): RegistryError {
  return new RegistryError('UNAVAILABLE', {
    message: 'this registry has no room left; the upload may go on when there is some',
    ...(cause && { cause }),
  });
}

function outOfOrder(offset: number, at: number): RegistryError {
  return new RegistryError('RANGE_INVALID', {
    message: `the next chunk must start at ${offset}, not at ${at}`,
    detail: { offset },
  });
}

function takenOver(): RegistryError {
  return new RegistryError('BLOB_UPLOAD_INVALID', { message: 'another request has taken over this upload' });
}

export function unknown(): RegistryError {
  return new RegistryError('BLOB_UPLOAD_UNKNOWN', {
    message: 'there is no such upload: it has ended, or belongs to another repository or user',
  });
}
