/**
 * The files of held blobs, for all upstreams together: opened only when their length is as the LRU index has it, compared
 * with their digests, and put out of the way when they are bad.
 */
import type { Digest } from '../oci/digest.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import type { HeldBlob } from '../store/blobs/held-blob.ts';
import { ifReadable, StoreError } from '../store/store-error.ts';
import { BadBlobs, type BadBlobsOptions } from './bad-blobs.ts';
import { BlobChecks, type BlobChecksOptions } from './blob-checks.ts';
import { RepeatRequests } from './repeat-requests.ts';

export interface HeldFilesOptions extends BadBlobsOptions, Omit<BlobChecksOptions, 'badBlobs'> {
  readonly store: BlobStore;
  /** What the LRU index has for it, in bytes. */
  indexedSize(digest: Digest): number | undefined;
}

export class HeldFiles {
  readonly bad: BadBlobs;
  readonly checks: BlobChecks;
  readonly repeats: RepeatRequests;
  readonly #options: HeldFilesOptions;

  constructor(options: HeldFilesOptions) {
    this.#options = options;
    this.bad = new BadBlobs(options);
    this.checks = new BlobChecks({ ...options, badBlobs: this.bad });
    this.repeats = new RepeatRequests(options.now);
  }

  async isHeld(digest: Digest): Promise<boolean> {
    return (await this.#size(digest)) !== undefined;
  }

  /** Bytes; undefined: not held. Looks at the length, not at the bytes. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    const size = await this.#size(digest);
    if (size === undefined || size === (this.#options.indexedSize(digest) ?? size)) return size;
    const held = await this.open(digest); // which sees to what is wrong with it
    await held?.close();
    return held?.size;
  }

  /** The caller closes it. Undefined: not held, or not as it should be, and out of the way now. */
  async open(digest: Digest): Promise<HeldBlob | undefined> {
    const held = await this.#open(digest);
    if (held === undefined) return undefined;
    const expected = this.#options.indexedSize(digest) ?? held.size;
    const isRight = held.isFile && held.size === expected;
    if (isRight && !this.bad.isStuck(digest, held.fileId)) return held;
    await held.close();
    if (isRight) return undefined;
    const got = held.isFile ? `a file of ${held.size} bytes` : 'something that is no file';
    await this.bad.damaged(digest, held.fileId, 'blob', `expected ${expected} bytes, got ${got}`);
    return undefined;
  }

  async #open(digest: Digest): Promise<HeldBlob | undefined> {
    try {
      return await this.#options.store.open(digest);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      await this.bad.unreadable(digest, undefined, 'blob', error);
      return undefined;
    }
  }

  async #size(digest: Digest): Promise<number | undefined> {
    return this.bad.isStuck(digest) ? undefined : ifReadable(this.#options.store.sizeOf(digest));
  }
}
