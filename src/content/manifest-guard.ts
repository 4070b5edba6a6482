/**
 * Keeps manifests out of `/blobs/`: containerd asks there when `/manifests/` refuses, and keeps the wrong type for good. A
 * digest is a manifest when this repository knows it as one, or when its bytes say so. The bytes are looked at once.
 */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';
import { looksLikeManifest, maxManifestBytes } from '../oci/manifest.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import type { DescriptorSizes } from './hot-manifests.ts';

/** What is asked of a held file or of one that is being filled. */
export interface GuardedBytes {
  readonly size: number;
  read(into: Buffer, at: number): Promise<number>;
}

const maxKnown = 50_000;

export class ManifestGuard {
  readonly #sizes: DescriptorSizes;
  /** By what the bytes say; of small content only. */
  readonly #isManifest = new LRUCache<Digest, boolean>({ max: maxKnown });

  constructor(sizes: DescriptorSizes) {
    this.#sizes = sizes;
  }

  /** This repository has it as a manifest, or one of its indexes names it as one. Looks at no bytes. */
  isNamed(record: RepositoryRecord, digest: Digest): boolean {
    if (record.manifest(digest) !== undefined) return true;
    return this.#sizes.get(record.name, digest) === undefined && this.#sizes.isChild(record.name, digest);
  }

  /** What the bytes say; undefined: they must be looked at with `look`. */
  known(record: RepositoryRecord, digest: Digest, size: number): boolean | undefined {
    if (size > maxManifestBytes) return false;
    const known = this.#isManifest.get(digest);
    return known === true ? !this.#isLayer(record, digest) : known;
  }

  /** `bytes` are verified. Errors: those of `read`. */
  async look(record: RepositoryRecord, digest: Digest, bytes: GuardedBytes): Promise<boolean> {
    const known = this.known(record, digest, bytes.size);
    if (known !== undefined) return known;
    this.#isManifest.set(digest, await saysManifest(bytes));
    return this.#isManifest.get(digest) === true && !this.#isLayer(record, digest);
  }

  /** A manifest of this repository names it as its config or layer: an artifact may contain manifests. */
  #isLayer(record: RepositoryRecord, digest: Digest): boolean {
    return this.#sizes.get(record.name, digest) !== undefined;
  }
}

/** Most blobs are told by their first bytes, so only the others are read whole. */
async function saysManifest({ size, read }: GuardedBytes): Promise<boolean> {
  const bytes = Buffer.alloc(size);
  const first = Math.min(size, 64);
  for (let at = 0; at < size; ) {
    const count = await read(at < first ? bytes.subarray(at, first) : bytes.subarray(at), at);
    if (count === 0) return false;
    at += count;
    if (at === first && !/^\s*(?:\{|$)/.test(bytes.subarray(0, first).toString('latin1'))) return false;
  }
  return looksLikeManifest(bytes);
}
