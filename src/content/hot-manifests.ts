/**
 * Manifests that are held: hot ones in memory, parsed once, the others in the store. Serving one marks a use of its
 * config and layers, so that a base layer that many images share doesn't look cold.
 */
import { LRUCache } from 'lru-cache';
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Descriptor } from '../oci/manifest.ts';
import { maxManifestBytes, type ParsedManifest, parseManifest } from '../oci/manifest.ts';
import { octetStream } from '../oci/media-type.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import type { HeldBlob } from '../store/blobs/held-blob.ts';
import { StoreError } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { BadBlobs, BadKind } from './bad-blobs.ts';

const hotBytes = 32 * 1024 * 1024;
/** What an entry costs beside its bytes: parsed descriptors and bookkeeping. */
const entryBytes = 2048;

export interface HeldManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
  readonly parsed: ParsedManifest;
}

export interface HotManifestsOptions {
  readonly store: BlobStore;
  readonly badBlobs: Pick<BadBlobs, 'damaged' | 'unreadable'>;
  readonly logger: Logger;
  /** A blob was used. */
  touch(digest: Digest): void;
  /** A manifest of that many bytes is in the store now. */
  stored(digest: Digest, bytes: number): void;
}

export class HotManifests {
  readonly #hot = new LRUCache<Digest, HeldManifest>({
    maxSize: hotBytes,
    sizeCalculation: held => held.bytes.length + entryBytes,
  });
  readonly #options: HotManifestsOptions;

  constructor(options: HotManifestsOptions) {
    this.#options = options;
  }

  /** Only what is in memory: no I/O. */
  peek(digest: Digest): HeldManifest | undefined {
    return this.#hot.get(digest);
  }

  /** It was removed from the store. */
  forget(digest: Digest): void {
    this.#hot.delete(digest);
  }

  /** Undefined: not held, no manifest, or what was held is damaged or can't be read (it is gone then). */
  async get(digest: Digest, mediaType: string): Promise<HeldManifest | undefined> {
    const hot = this.#hot.get(digest);
    if (hot !== undefined) return hot;
    const bytes = await this.#readRight(digest, mediaType === octetStream ? 'blob' : 'manifest');
    return bytes && this.#heatIfManifest(digest, mediaType, bytes);
  }

  /** Keeps verified bytes. A store that takes no more costs another fetch later, never this answer. */
  async put(descriptor: Descriptor, bytes: Buffer): Promise<HeldManifest> {
    const held = this.#heat(descriptor.digest, descriptor.mediaType, bytes);
    try {
      if (await this.#options.store.put(descriptor.digest, bytes))
        this.#options.stored(descriptor.digest, bytes.length);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#options.logger.warn('the store takes no manifest', { digest: descriptor.digest, error });
    }
    return held;
  }

  /** A use of what the manifest names; of an index: of the children that are hot. Synchronous. */
  touch(held: HeldManifest): void {
    const { config, layers, manifests } = held.parsed;
    if (config !== undefined) this.#options.touch(config.digest);
    for (const layer of layers) this.#options.touch(layer.digest);
    for (const child of manifests) {
      const hot = this.#hot.peek(child.digest);
      if (hot !== undefined && hot.parsed.kind === 'image') this.touch(hot);
    }
  }

  #heatIfManifest(digest: Digest, mediaType: string, bytes: Buffer): HeldManifest | undefined {
    try {
      return this.#heat(digest, mediaType, bytes);
    } catch (error) {
      if (error instanceof RegistryError) return undefined; // a layer or a config, asked for as a manifest
      throw error;
    }
  }

  #heat(digest: Digest, mediaType: string, bytes: Buffer): HeldManifest {
    const parsed = parseManifest(bytes, mediaType);
    const held = { descriptor: { digest, mediaType: parsed.mediaType, size: bytes.length }, bytes, parsed };
    this.#hot.set(digest, held);
    return held;
  }

  /** Verified bytes. What is bad is set aside, so that the next `put` writes it anew. */
  async #readRight(digest: Digest, kind: BadKind): Promise<Buffer | undefined> {
    const { store, badBlobs } = this.#options;
    let blob: HeldBlob | undefined;
    try {
      blob = await store.open(digest);
      if (blob === undefined || blob.size > maxManifestBytes) return undefined;
      const bytes = Buffer.alloc(blob.size);
      await blob.read(bytes, 0);
      const found = digestOf(bytes, algorithmOf(digest));
      if (found === digest) return bytes;
      const detail = `its ${bytes.length} bytes have the digest ${found}`;
      await badBlobs.damaged(digest, blob.fileId, kind, detail);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      await badBlobs.unreadable(digest, blob?.fileId, kind, error);
    } finally {
      await blob?.close();
    }
    return undefined;
  }
}
