/**
 * The sizes of a repository's blobs out of its held manifests: after a restart memory has none, but the manifests that name the blobs
 * are on disk. They are read one by one, the newest first, until one names the blob; none is read a second time for that.
 */
import { LRUCache } from 'lru-cache';
import type { DescriptorSizes, HotManifests } from '../../content/hot-manifests.ts';
import type { Digest } from '../../oci/digest.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';

/** A client that asks for digests at random must not read through a repository of thousands. */
const maxManifests = 200;
const maxRepositories = 1000;

export class HeldSizes {
  readonly #manifests: Pick<HotManifests, 'get'>;
  readonly #sizes: DescriptorSizes;
  /** Of each repository what is still to be read, the newest last. */
  readonly #unread = new LRUCache<string, { readonly digest: Digest; readonly mediaType: string }[]>({
    max: maxRepositories,
  });

  constructor(manifests: Pick<HotManifests, 'get'>, sizes: DescriptorSizes) {
    this.#manifests = manifests;
    this.#sizes = sizes;
  }

  /** Bytes; undefined: no held manifest of that repository names it. */
  async find(record: RepositoryRecord, digest: Digest): Promise<number | undefined> {
    let unread = this.#unread.get(record.name);
    if (unread === undefined) {
      unread = [...record.manifests()].slice(-maxManifests);
      this.#unread.set(record.name, unread);
    }
    for (;;) {
      const known = this.#sizes.get(record.name, digest);
      if (known !== undefined) return known;
      const next = unread.pop();
      if (next === undefined) return undefined;
      const held = await this.#manifests.get(next.digest, next.mediaType);
      if (held !== undefined) this.#sizes.learn(record.name, held.parsed);
    }
  }
}
