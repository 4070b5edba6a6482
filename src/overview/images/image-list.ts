/**
 * Pages of held images in one order: by repository, in it the tags, then the manifests that no tag and no other manifest names. What a page
 * doesn't show is neither opened nor read; the images without a tag of a mirrored repository are shown when that repository is asked for.
 */
import { type ImageHosts, parseImage } from '../../admin/image-name.ts';
import type { ImageRow, ImagesQuery } from '../../http/api/schema/images.ts';
import { Limit } from '../../lib/limit.ts';
import { type Digest, isDigest } from '../../oci/digest.ts';
import { isIndexType } from '../../oci/media-type.ts';
import { isTag, type Tag } from '../../oci/name.ts';
import type { Caller } from '../../registry/caller.ts';
import { byTag, firstAfter } from '../../registry/page.ts';
import { sortTags } from '../../registry/sort-tags.ts';
import type { HeldContent } from '../held/held-content.ts';
import type { HeldRepositories } from '../held/held-repositories.ts';
import type { HeldRepository } from '../held/held-repository.ts';
import type { ImageRows, NamedImage } from './image-row.ts';
import type { ListPage } from './repository-list.ts';
import { parseSearch, type Search } from './search.ts';

export interface ImageListOptions {
  readonly hosts: ImageHosts;
  readonly repositories: Pick<HeldRepositories, 'visible' | 'open' | 'mayPull'>;
  readonly content: Pick<HeldContent, 'manifest'>;
  readonly rows: Pick<ImageRows, 'describe'>;
}

export interface WalkedImage {
  readonly repository: HeldRepository;
  readonly image: NamedImage;
}

/** Rows of one page, while the walk goes on: their manifests are read from the disk. */
const describedAtOnce = 8;

export class ImageList {
  readonly #options: ImageListOptions;

  constructor(options: ImageListOptions) {
    this.#options = options;
  }

  /** Errors: NAME_INVALID for a `repository` that is none; `StoreError` scan; the signal's reason; those of the hosted log. */
  async page(query: ImagesQuery, caller: Caller, signal: AbortSignal): Promise<ListPage<ImageRow>> {
    const limit = new Limit({ maxRunning: describedAtOnce });
    const stop = new AbortController();
    const both = AbortSignal.any([signal, stop.signal]);
    const describe = async ({ repository, image }: WalkedImage): Promise<ImageRow> => {
      both.throwIfAborted();
      return (await this.#options.rows.describe(repository, image)).row;
    };
    const described: Promise<ImageRow>[] = [];
    let hasMore = false;
    try {
      for await (const one of this.walk(query, caller, both)) {
        hasMore = described.length === query.n;
        if (hasMore) break;
        const row = limit.run(() => describe(one));
        row.catch(error => stop.abort(error)); // ends the walk and the rows that wait
        described.push(row);
      }
      const rows = await Promise.all(described);
      return { rows, next: hasMore ? rows.at(-1)?.image : undefined };
    } catch (error) {
      stop.abort(error);
      await Promise.allSettled(described);
      throw error;
    }
  }

  /** Images after `last` that the caller may pull; none is read. Errors: as `page`. */
  async *walk(
    { repository: only, q, last }: Pick<ImagesQuery, 'repository' | 'q' | 'last'>,
    caller: Caller,
    signal: AbortSignal,
  ): AsyncGenerator<WalkedImage> {
    const search = parseSearch(q);
    const cursor = last === undefined ? undefined : parseCursor(last);
    const names =
      only === undefined
        ? this.#options.repositories.visible({
            caller,
            signal,
            from: cursor?.name,
            isWanted: name => search.matchesRepository(name),
          })
        : this.#onlyIf(parseImage(only, this.#options.hosts).name, caller);
    for await (const name of names) {
      const repository = await this.#options.repositories.open(name);
      if (repository === undefined) continue;
      const after = name === cursor?.name ? cursor.reference : undefined;
      for await (const image of this.#imagesOf(repository, {
        search,
        after,
        withUntagged: only !== undefined,
      }))
        yield { repository, image };
    }
  }

  async *#onlyIf(name: string, caller: Caller): AsyncGenerator<string> {
    if (await this.#options.repositories.mayPull(name, caller)) yield name;
  }

  async *#imagesOf(
    repository: HeldRepository,
    { search, after, withUntagged }: { search: Search; after: string | undefined; withUntagged: boolean },
  ): AsyncGenerator<NamedImage> {
    if (after === undefined || !isDigest(after)) {
      const tags = await sortTags([[...repository.tags()]]);
      for (let at = firstAfter(tags, byTag, after); at < tags.length; at += 1) {
        const tag = tags[at] ?? '';
        const held = isTag(tag) && search.matchesTag(tag) ? repository.tag(tag) : undefined;
        if (held !== undefined && isTag(tag)) yield { tag, ...held };
      }
    }
    if (!withUntagged || !search.isForAll) return;
    const untagged = await this.#untagged(repository);
    for (const digest of untagged.sort()) {
      const held = repository.manifest(digest);
      if (held !== undefined && (after === undefined || !isDigest(after) || digest > after))
        yield { tag: null, ...held };
    }
  }

  /** Reads the indexes of a mirrored repository, once for all of its manifests without a tag. */
  async #untagged(repository: HeldRepository): Promise<Digest[]> {
    const tagged = new Set<Digest>();
    for (const tag of repository.tags()) addIf(tagged, repository.tag(tag)?.digest);
    const untagged = Array.from(repository.manifests()).filter(
      ({ digest }) => !tagged.has(digest) && repository.isNamed(digest) !== true,
    );
    if (untagged.every(({ digest }) => repository.isNamed(digest) === false))
      return untagged.map(({ digest }) => digest);
    const named = new Set<Digest>();
    for (const manifest of repository.manifests()) {
      if (!isIndexType(manifest.mediaType)) continue;
      const found = await this.#options.content.manifest(manifest);
      for (const { digest } of found?.parsed.manifests ?? []) named.add(digest);
    }
    return untagged.map(({ digest }) => digest).filter(digest => !named.has(digest));
  }
}

function addIf(digests: Set<Digest>, digest: Digest | undefined): void {
  if (digest !== undefined) digests.add(digest);
}

/** An image as its row has it: `name:tag` or `name@digest`. Undefined for another text. */
export function parseCursor(
  image: string,
): { readonly name: string; readonly reference: Tag | Digest } | undefined {
  const at = image.lastIndexOf('@');
  const colon = at === -1 ? image.indexOf(':', image.lastIndexOf('/') + 1) : at;
  if (colon < 1) return undefined;
  const [name, reference] = [image.slice(0, colon), image.slice(colon + 1)];
  return isDigest(reference) || isTag(reference) ? { name, reference } : undefined;
}
