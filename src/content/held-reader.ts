/**
 * A held file on its way to one client. While its check runs, the last byte is held back until it is found good, like an
 * ingest's follower does; what turns out bad or unreadable before the first byte is out is replaced by the same bytes from
 * elsewhere, and later it ends the body short of its length.
 */
import type { Digest } from '../oci/digest.ts';
import type { BlobReader } from '../registry/registry.ts';
import type { HeldBlob } from '../store/blobs/held-blob.ts';
import { MismatchError, StoreError } from '../store/store-error.ts';
import type { BlobCheck } from './blob-checks.ts';

type Readable = Pick<HeldBlob, 'size' | 'preferredBytes' | 'read' | 'close'>;

export interface HeldReaderOptions {
  readonly digest: Digest;
  readonly held: Readable;
  readonly check: BlobCheck | undefined;
  /** The file can't be read. Never throws. */
  unreadable(error: StoreError): Promise<void>;
  /** A reader of the same bytes from elsewhere. */
  replace(): Promise<BlobReader>;
}

export class HeldReader implements BlobReader {
  readonly preferredBytes: number;
  readonly #options: HeldReaderOptions;
  readonly #held: Readable;
  readonly #check: BlobCheck | undefined;
  #replacement: BlobReader | undefined;
  #delivered = false;
  #closed = false;

  constructor(options: HeldReaderOptions) {
    this.#options = options;
    this.#held = options.held;
    this.#check = options.check;
    this.preferredBytes = options.held.preferredBytes;
  }

  async read(into: Buffer, at: number): Promise<number> {
    if (this.#replacement !== undefined) return this.#replacement.read(into, at);
    try {
      const count =
        this.#check === undefined
          ? await this.#held.read(into, at)
          : await this.#readChecked(this.#check, into, at);
      this.#delivered = true;
      return count;
    } catch (error) {
      if (this.#closed) throw error;
      if (error instanceof StoreError) await this.#options.unreadable(error);
      else if (!(error instanceof MismatchError)) throw error;
      if (this.#delivered) throw error; // what is out can't be compared with what would follow
    }
    this.#replacement = await this.#replace();
    return this.#replacement.read(into, at);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#held.close();
    await this.#replacement?.close();
  }

  async #readChecked(check: BlobCheck, into: Buffer, at: number): Promise<number> {
    const { size } = this.#held;
    if (check.known === undefined && at < size - 1) {
      const count = await this.#held.read(into.subarray(0, size - 1 - at), at);
      if (check.known === undefined || check.known === 'good') return count;
    } else if ((check.known ?? (await check.verdict)) === 'good') {
      return this.#held.read(into, at);
    }
    throw new MismatchError(this.#options.digest);
  }

  async #replace(): Promise<BlobReader> {
    const reader = await this.#options.replace();
    if (!this.#closed) return reader;
    await reader.close();
    throw new Error('the reader was closed');
  }
}
