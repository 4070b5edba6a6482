/**
 * The held content that rows are made of. Sizes and last uses come from memory, so that a row costs the files of its manifests and no look
 * at each of its blobs; only until the store is scanned the disk is asked.
 */
import type { HeldFile, HeldFiles } from '../../admin/image-summary.ts';
import type { Digest } from '../../oci/digest.ts';
import type { BlobStore } from '../../store/blobs/blob-store.ts';
import { readManifest, type StoredManifest, type TypedDigest } from '../../store/records/image-tree.ts';
import { ifReadable } from '../../store/store-error.ts';

export interface HeldContentOptions {
  readonly store: Pick<BlobStore, 'open' | 'sizeOf'>;
  /** Of cached blobs. */
  readonly lru: {
    sizeOf(digest: Digest): number | undefined;
    lastUseOf(digest: Digest): number | undefined;
  };
  /** Of hosted content. */
  readonly references: { sizeOf(digest: Digest): number | undefined };
  /** Sizes in memory are complete. */
  isScanned(): boolean;
}

/** A config of an image is a few KiB. */
const maxConfigBytes = 1024 * 1024;

export class HeldContent implements HeldFiles {
  readonly #options: HeldContentOptions;

  constructor(options: HeldContentOptions) {
    this.#options = options;
  }

  async of(digest: Digest): Promise<HeldFile | undefined> {
    const { lru, references, store, isScanned } = this.#options;
    const known = lru.sizeOf(digest) ?? references.sizeOf(digest);
    if (known !== undefined) return { size: known, lastUseMs: lru.lastUseOf(digest) ?? 0 };
    if (isScanned()) return undefined;
    const size = await ifReadable(store.sizeOf(digest));
    return size === undefined ? undefined : { size, lastUseMs: 0 };
  }

  /** Undefined: not held, damaged, or no manifest. */
  manifest(named: TypedDigest): Promise<StoredManifest | undefined> {
    return ifReadable(readManifest(this.#options.store, named));
  }

  /** A blob as JSON, such as the config of an image. Undefined: not held, too large, or not JSON. */
  async json(digest: Digest): Promise<unknown> {
    const held = await ifReadable(this.#options.store.open(digest));
    if (held === undefined) return undefined;
    try {
      if (held.size > maxConfigBytes) return undefined;
      const bytes = Buffer.alloc(held.size);
      await held.read(bytes, 0);
      return JSON.parse(bytes.toString('utf8'));
    } catch {
      return undefined; // shown as not held
    } finally {
      await held.close();
    }
  }
}
