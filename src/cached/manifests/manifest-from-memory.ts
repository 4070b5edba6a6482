/**
 * Manifests that go out synchronously, without asking, reading or waiting: in memory, linked, and named by digest while the
 * upstream is there, or by a tag within its ttl. `CachedManifest` and `CachedTag` give the same answers for these.
 */
import type { DescriptorSizes, HeldManifest, HotManifests } from '../../content/hot-manifests.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { Reference, Repository, Tag } from '../../oci/name.ts';
import type { RepositoryPredicate } from '../../registry/caller.ts';
import type { Origin } from '../../registry/origin.ts';
import type { ManifestAnswer } from '../../registry/registry.ts';
import type { Records } from '../../store/records/records.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { Links } from '../access/links.ts';
import { isFresh, type TagPolicy } from './freshness.ts';

export interface ManifestFromMemoryOptions {
  readonly records: Pick<Records, 'peek'>;
  readonly manifests: HotManifests;
  readonly links: Links;
  readonly sizes: DescriptorSizes;
  readonly tags: Pick<TagPolicy, 'ttlMs'>;
  /** Milliseconds since the epoch. */
  now(): number;
}

export class ManifestFromMemory {
  readonly #origin: Origin;
  readonly #isAllowed: RepositoryPredicate;
  readonly #options: ManifestFromMemoryOptions;

  constructor(origin: Origin, isAllowed: RepositoryPredicate, options: ManifestFromMemoryOptions) {
    this.#origin = origin;
    this.#isAllowed = isAllowed;
    this.#options = options;
  }

  /** Undefined means "not answerable from memory", not "not found". */
  answer(repository: Repository, reference: Reference): ManifestAnswer | undefined {
    if (!this.#isAllowed(repository)) return undefined;
    const record = this.#options.records.peek(`${this.#origin.key}/${repository}`);
    if (record === undefined) return undefined;
    return isDigest(reference) ? this.#byDigest(record, reference) : this.#byTag(record, reference);
  }

  #byDigest(record: RepositoryRecord, digest: Digest): ManifestAnswer | undefined {
    if (this.#origin.health().away) return undefined; // only a complete image may go out then
    const held = this.#held(record, digest);
    return held && { outcome: 'hit', descriptor: held.descriptor, bytes: held.bytes };
  }

  #byTag(record: RepositoryRecord, tag: Tag): ManifestAnswer | undefined {
    const entry = record.tag(tag);
    const { now, tags } = this.#options;
    if (entry === undefined || !isFresh(entry.checkedAt, now(), tags)) return undefined;
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
