/**
 * Manifests that can go out this very moment: in memory, linked, and either named by digest while the upstream is there
 * or by a tag within its ttl. Nothing is asked, read or waited for; whatever needs more than that is answered by
 * `CachedManifest` and `CachedTag`, which would give the same for these.
 */

import type { HeldManifest, HotManifests } from '../../content/hot-manifests.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { Reference, Repository, Tag } from '../../oci/name.ts';
import type { RepositoryPredicate } from '../../registry/caller.ts';
import type { Origin } from '../../registry/origin.ts';
import type { ManifestAnswer } from '../../registry/registry.ts';
import type { Records } from '../../store/records/records.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { Links } from '../access/links.ts';
import type { DescriptorSizes } from './descriptor-sizes.ts';
import { isFresh, type TagPolicy } from './freshness.ts';

export interface ManifestFromMemoryOptions {
  readonly origin: Origin;
  readonly isAllowed: RepositoryPredicate;
  readonly records: Pick<Records, 'peek'>;
  readonly manifests: HotManifests;
  readonly links: Links;
  readonly sizes: DescriptorSizes;
  readonly policy: TagPolicy;
  now(): number;
}

export class ManifestFromMemory {
  readonly #options: ManifestFromMemoryOptions;

  constructor(options: ManifestFromMemoryOptions) {
    this.#options = options;
  }

  /** Undefined: it takes more than memory, or it may not go out. */
  answer(repository: Repository, reference: Reference): ManifestAnswer | undefined {
    const { origin, isAllowed, records } = this.#options;
    if (!isAllowed(repository)) return undefined;
    const record = records.peek(`${origin.key}/${repository}`);
    if (record === undefined) return undefined;
    return isDigest(reference) ? this.#byDigest(record, reference) : this.#byTag(record, reference);
  }

  #byDigest(record: RepositoryRecord, digest: Digest): ManifestAnswer | undefined {
    if (this.#options.origin.health().away) return undefined; // then only what is whole may go out
    const held = this.#held(record, digest);
    return held && { outcome: 'hit', descriptor: held.descriptor, bytes: held.bytes };
  }

  #byTag(record: RepositoryRecord, tag: Tag): ManifestAnswer | undefined {
    const entry = record.tag(tag);
    const { now, policy } = this.#options;
    if (entry === undefined || !isFresh(entry.checkedAt, now(), policy)) return undefined;
    const held = this.#held(record, entry.descriptor.digest);
    const { checkedAt } = entry;
    return held && { outcome: 'hit', descriptor: held.descriptor, bytes: held.bytes, checkedAt };
  }

  #held(record: RepositoryRecord, digest: Digest): HeldManifest | undefined {
    const { links, manifests, sizes } = this.#options;
    const held = links.mayServe(record, digest) ? manifests.peek(digest) : undefined;
    if (held === undefined) return undefined;
    sizes.learn(record.name, held.parsed);
    manifests.touch(held);
    return held;
  }
}
