/**
 * The sizes that a repository's own manifests give for their blobs, for as long as they are remembered. They answer a
 * HEAD without asking anybody and unmask a source with a blob of another length. Kept per repository: what one
 * repository's manifest says is no news for those who may only see another.
 */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../oci/digest.ts';
import type { ParsedManifest } from '../oci/manifest.ts';

const maxEntries = 20_000;

export class DescriptorSizes {
  readonly #sizes = new LRUCache<string, number>({ max: maxEntries });

  learn(recordName: string, manifest: ParsedManifest): void {
    for (const { digest, size } of [
      ...manifest.layers,
      ...(manifest.config === undefined ? [] : [manifest.config]),
    ]) {
      this.#sizes.set(`${recordName}@${digest}`, size);
    }
  }

  /** Bytes. */
  get(recordName: string, digest: Digest): number | undefined {
    return this.#sizes.get(`${recordName}@${digest}`);
  }
}
