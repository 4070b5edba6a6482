/**
 * Tags and referrers of hosted repositories, from memory. Tags are sorted once per change of the repository; referrers come
 * in pages of at most 4 MiB, in the order of their digests, so that a page is stable while others push.
 */
import { type Digest, isDigest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { maxManifestBytes } from '../oci/manifest.ts';
import { ociIndex } from '../oci/media-type.ts';
import type { Repository } from '../oci/name.ts';
import { byTag, byText, cutPage } from '../registry/page.ts';
import type { PageOptions, ReadOptions, ReferrersAnswer, TagsPage } from '../registry/registry.ts';
import { sortTags } from '../registry/sort-tags.ts';
import type { HostedLog, HostedManifest, HostedRepository } from './log/hosted-log.ts';

interface SortedTags {
  readonly generation: number;
  readonly tags: Promise<readonly string[]>;
}

export class HostedLists {
  readonly #log: HostedLog;
  readonly #sorted = new WeakMap<HostedRepository, SortedTags>();

  constructor(log: HostedLog) {
    this.#log = log;
  }

  /** Errors: NAME_UNKNOWN, UNAVAILABLE. */
  async tags(name: Repository, options: PageOptions): Promise<TagsPage> {
    const repository = await this.#log.readRepository(name);
    if (repository === undefined) {
      throw new RegistryError('NAME_UNKNOWN', { message: `nothing has been pushed to ${name}` });
    }
    const { entries, next } = cutPage(await this.#sortedTags(repository), byTag, options);
    return { outcome: 'hit', tags: entries, ...(next && { next }) };
  }

  /** An empty index for a repository that isn't there. Errors: UNAVAILABLE. */
  async referrers(
    name: Repository,
    subject: Digest,
    artifactType: string | undefined,
    { query = '' }: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    const repository = await this.#log.readRepository(name);
    const last = new URLSearchParams(query).get('last') ?? '';
    const found = (repository?.referrers(subject) ?? [])
      .filter(manifest => artifactType === undefined || manifest.artifactType === artifactType)
      .filter(({ descriptor }) => !isDigest(last) || descriptor.digest > last)
      .sort((one, other) => byText(one.descriptor.digest, other.descriptor.digest));
    const { bytes, nextQuery } = cutReferrersPage(found);
    return {
      outcome: 'hit',
      bytes,
      filtered: artifactType !== undefined,
      ...(nextQuery !== undefined && { nextQuery }),
    };
  }

  /** A repository of many tags is sorted in slices, and for all who ask meanwhile at once. */
  #sortedTags(repository: HostedRepository): Promise<readonly string[]> {
    const { generation } = repository;
    let sorted = this.#sorted.get(repository);
    if (sorted?.generation !== generation) {
      sorted = { generation, tags: sortTags([repository.tags()]) };
      this.#sorted.set(repository, sorted);
    }
    return sorted.tags;
  }
}

const head = `{"schemaVersion":2,"mediaType":${JSON.stringify(ociIndex)},"manifests":[`;
const tail = ']}';

/** As many as fit, and at least one. */
function cutReferrersPage(manifests: readonly HostedManifest[]): {
  readonly bytes: Buffer;
  readonly nextQuery?: string;
} {
  const entries: string[] = [];
  let length = head.length + tail.length;
  for (const { descriptor, artifactType, annotations } of manifests) {
    const { mediaType, digest, size } = descriptor;
    const entry = JSON.stringify({ mediaType, digest, size, artifactType, annotations });
    length += Buffer.byteLength(entry) + 1;
    if (length > maxManifestBytes && entries.length > 0) break;
    entries.push(entry);
  }
  const bytes = Buffer.from(`${head}${entries.join(',')}${tail}`);
  const last = manifests[entries.length - 1];
  if (last === undefined || entries.length === manifests.length) return { bytes };
  return { bytes, nextQuery: `last=${last.descriptor.digest}` };
}
