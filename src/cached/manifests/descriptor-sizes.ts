/**
 * The sizes that a repository's own manifests give for their blobs, for as long as they are remembered. They answer a
 * HEAD without asking anybody and unmask a source with a blob of another length. Kept per repository: what one
 * repository's manifest says is no news for those who may only see another.
 */
import { LRUCache } from 'lru-cache';
import type { Digest } from '../../oci/digest.ts';
import type { ParsedManifest } from '../../oci/manifest.ts';

const maxEntries = 20_000;

export class DescriptorSizes {
  readonly #sizes = new LRUCache<string, number>({ max: maxEntries });
  /** For whom a manifest was learnt last, and after how many sizes. */
  readonly #learnt = new WeakMap<ParsedManifest, { readonly recordName: string; readonly at: number }>();
  #count = 0;

  /** Cheap for a manifest whose sizes can't have been forgotten since. */
  learn(recordName: string, manifest: ParsedManifest): void {
    const last = this.#learnt.get(manifest);
    if (last?.recordName === recordName && this.#count - last.at < maxEntries / 2) return;
    const { config, layers } = manifest;
    for (const { digest, size } of config === undefined ? layers : [...layers, config]) {
      this.#sizes.set(`${recordName}@${digest}`, size);
      this.#count += 1;
    }
    this.#learnt.set(manifest, { recordName, at: this.#count });
  }

  /** Bytes. */
  get(recordName: string, digest: Digest): number | undefined {
    return this.#sizes.peek(`${recordName}@${digest}`);
  }
}
