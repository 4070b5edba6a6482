/**
 * `tags/list`: the upstream's pages are gathered, sorted and held, so that our pages are cut from a whole list, also while the
 * upstream is away. A list too long or too slow to gather is passed through, and each of its pages is held.
 */
import type { Repository } from '../../oci/name.ts';
import type { Origin } from '../../registry/origin.ts';
import type { PageOptions, TagsPage } from '../../registry/registry.ts';
import type { ListFiles } from '../../store/records/list-files.ts';
import type { TagPolicy } from '../manifests/freshness.ts';
import { createListMemory, HeldLists, type KeptLists, type ListMemory } from './held-lists.ts';
import { byTag, cutPage, type GatheringLimits, gatherPages, longListTtlMs, tooSlow } from './paginate.ts';

/** A page that was passed through counts as `whole`. */
export interface HeldTags {
  readonly end: 'whole' | 'long' | 'slow';
  readonly tags: readonly string[];
  readonly next?: NonNullable<TagsPage['next']>;
}

export interface CachedTagListOptions {
  readonly tags: TagPolicy;
  readonly offline: boolean;
  readonly tagLists: ListMemory<HeldTags>;
  readonly listFiles?: Pick<ListFiles, 'read' | 'write' | 'remove'>;
  readonly limits: GatheringLimits;
  /** Ends requests that outlive their clients. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Registries accept this `n`; they may give less. */
const pageSize = 1000;

export class CachedTagList {
  readonly #origin: Origin;
  readonly #options: CachedTagListOptions;
  readonly #lists: HeldLists<HeldTags>;

  constructor(origin: Origin, options: CachedTagListOptions) {
    this.#origin = origin;
    this.#options = options;
    const { tags, offline, tagLists, now } = options;
    this.#lists = new HeldLists({
      kind: 'tags',
      origin,
      tags,
      offline,
      memory: tagLists,
      now,
      ...(options.listFiles && { kept: keptTags(options.listFiles) }),
      ttlMs: ({ end }) => (end === 'long' ? Math.max(tags.ttlMs, longListTtlMs) : tags.ttlMs),
    });
  }

  /** One page. `recordName` is the canonical name. Errors: UpstreamError. */
  async tags(recordName: string, repository: Repository, options: PageOptions): Promise<TagsPage> {
    const { n, last, ...read } = options;
    const page = { ...(n !== undefined && { n }), ...(last !== undefined && { last }) };
    const isLong = this.#lists.peek(recordName)?.end === 'long'; // no-cache must not gather all pages for each client
    const reading = isLong ? { signal: read.signal } : read;
    const list = await this.#lists.get(recordName, reading, held => this.#gather(repository, held));
    if (list.value.end === 'whole') {
      const { entries, next } = cutPage(list.value.tags, byTag, page);
      return { ...list.answer, tags: entries, ...(next && { next }) };
    }
    if (n === 0) return { ...list.answer, tags: [] };
    const key = `${recordName}?${new URLSearchParams({ n: String(n ?? ''), last: last ?? '' })}`;
    const passed = await this.#lists.get(key, read, () => this.#pass(repository, page));
    const { tags, next } = passed.value;
    return { ...passed.answer, tags, ...(next && { next }) };
  }

  async #gather(repository: Repository, held: HeldTags | undefined): Promise<HeldTags> {
    const origin = this.#origin;
    const { limits, signal } = this.#options;
    const ask = (after: TagsPage | undefined, asking: AbortSignal) => {
      const last = after?.next?.last;
      return origin.tags(repository, { signal: asking, n: pageSize, ...(last !== undefined && { last }) });
    };
    const source = { ask, hasNext: (page: TagsPage) => page.next !== undefined, bytesOf: bytesOfTags };
    const { pages, end } = await gatherPages(source, limits, signal);
    if (end === 'whole') {
      return { end, tags: [...new Set(pages.flatMap(({ tags }) => tags))].sort(byTag) };
    }
    if (end === 'slow' && held?.end === 'whole') throw tooSlow(origin.key, 'tags', limits.maxMs);
    return { end, tags: [] };
  }

  async #pass(repository: Repository, page: Pick<PageOptions, 'n' | 'last'>): Promise<HeldTags> {
    const { signal } = this.#options;
    const { tags, next } = await this.#origin.tags(repository, { signal, ...page });
    return { end: 'whole', tags, ...(next && { next }) };
  }
}

/** Whole lists; a page that was passed through is asked for again. */
function keptTags(files: Pick<ListFiles, 'read' | 'write' | 'remove'>): KeptLists<HeldTags> {
  return {
    read: async key => {
      const list = key.includes('?') ? undefined : await files.read(key);
      if (list === undefined) return undefined;
      const tags = list.text === '' ? [] : list.text.split('\n');
      return { checkedAt: list.checkedAt, value: { end: 'whole', tags } };
    },
    remove: key => {
      if (!key.includes('?')) files.remove(key);
    },
    write: (key, { checkedAt, value: { end, tags } }) => {
      if (end === 'whole' && !key.includes('?')) files.write(key, { checkedAt, text: tags.join('\n') });
    },
  };
}

export function createTagListMemory(): ListMemory<HeldTags> {
  return createListMemory<HeldTags>(bytesOfTags);
}

/** A string's own cost and its characters. */
function bytesOfTags({ tags }: { readonly tags: readonly string[] }): number {
  return tags.reduce((sum, tag) => sum + 24 + tag.length, 0);
}
