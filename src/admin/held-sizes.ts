/** What is held of the blobs that a listing names: one look at the disk per digest, however many images share it. */
import type { Digest } from '../oci/digest.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import { ifReadable } from '../store/store-error.ts';

export interface HeldFile {
  /** Bytes. */
  readonly size: number;
  /** Last use: milliseconds since the epoch. */
  readonly mtimeMs: number;
}

export class HeldSizes {
  readonly #store: Pick<BlobStore, 'open'>;
  readonly #known = new Map<Digest, Promise<HeldFile | undefined>>();

  constructor(store: Pick<BlobStore, 'open'>) {
    this.#store = store;
  }

  /** Undefined: not held. Never throws. */
  of(digest: Digest): Promise<HeldFile | undefined> {
    let known = this.#known.get(digest);
    if (known === undefined) {
      known = ifReadable(this.#look(digest));
      this.#known.set(digest, known);
    }
    return known;
  }

  async #look(digest: Digest): Promise<HeldFile | undefined> {
    const held = await this.#store.open(digest);
    if (held === undefined) return undefined;
    await held.close();
    return { size: held.size, mtimeMs: held.mtimeMs };
  }
}
