/**
 * Whether an image can be pulled whole from what is held. Asked only while its upstream is away: a client like podman
 * stays with the source that gave it the manifest, so a manifest whose layers can't be had is worse than none.
 */

import type { HeldManifest, HotManifests } from '../../content/hot-manifests.ts';
import type { Digest } from '../../oci/digest.ts';
import { isDistributable } from '../../oci/media-type.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { Links } from '../access/links.ts';

export interface ImageCompletenessOptions {
  readonly manifests: HotManifests;
  readonly links: Links;
  isHeld(digest: Digest): Promise<boolean>;
}

export class ImageCompleteness {
  readonly #options: ImageCompletenessOptions;

  constructor(options: ImageCompletenessOptions) {
    this.#options = options;
  }

  /** An image: config and distributable layers are held and may be served; an index: one child is complete. */
  async isComplete(record: RepositoryRecord, held: HeldManifest): Promise<boolean> {
    const { config, layers, manifests, kind } = held.parsed;
    if (kind === 'index') {
      for (const child of manifests) {
        if (child.platform?.os === 'unknown') continue; // an attestation: nothing that could run
        const known = record.manifest(child.digest);
        const inner = known && (await this.#options.manifests.get(child.digest, known.mediaType));
        if (inner !== undefined && (await this.isComplete(record, inner))) return true;
      }
      return manifests.length === 0;
    }
    const needed = layers.filter(layer => isDistributable(layer.mediaType));
    for (const { digest } of config === undefined ? needed : [config, ...needed]) {
      if (!(await this.#isServable(record, digest))) return false;
    }
    return true;
  }

  async #isServable(record: RepositoryRecord, digest: Digest): Promise<boolean> {
    if (!this.#options.links.mayServe(record, digest)) {
      await this.#options.links.loaded;
      if (!this.#options.links.mayServe(record, digest)) return false;
    }
    return this.#options.isHeld(digest);
  }
}
