/** Blobs that are held, given out from the store to those who may have them; each time is a use of the blob. */
import type { Digest } from '../oci/digest.ts';
import type { ByteRange } from '../oci/range.ts';
import type { BlobAnswer, ReadOptions } from '../registry/registry.ts';
import type { BlobStore } from '../store/blob-store.ts';
import { ifReadable } from '../store/store-error.ts';
import { type AskedBlob, spanOf } from './asked-blob.ts';
import type { LinkProofs } from './link-proofs.ts';

export interface HeldBlobsOptions {
  readonly store: BlobStore;
  readonly proofs: LinkProofs;
  touch(digest: Digest): void;
}

export class HeldBlobs {
  readonly #options: HeldBlobsOptions;

  constructor(options: HeldBlobsOptions) {
    this.#options = options;
  }

  /** Bytes; undefined: not held. */
  sizeOf(digest: Digest): Promise<number | undefined> {
    return ifReadable(this.#options.store.sizeOf(digest));
  }

  /** Undefined: not held. Errors: UpstreamError when there is no link and none could be made, RANGE_INVALID. */
  async open(
    { record, repository, digest }: AskedBlob,
    wanted: ByteRange | undefined,
    { signal }: ReadOptions,
  ): Promise<BlobAnswer | undefined> {
    const { store, proofs, touch } = this.#options;
    const held = await ifReadable(store.open(digest));
    if (held === undefined) return undefined;
    try {
      await proofs.require(record, repository, digest, signal);
      const span = spanOf(wanted, held.size);
      touch(digest);
      return { outcome: 'hit', size: held.size, ...span, partial: wanted !== undefined, reader: held };
    } catch (error) {
      await held.close();
      throw error;
    }
  }
}
