/**
 * `tags/list`: the upstream's pages are gathered, sorted and held, so that our pages are cut from a whole list, also while the
 * upstream is away. A list too long or too slow to gather is passed through, and each of its pages is held.
 */
import type { Repository } from '../../oci/name.ts';
import type { Origin } from '../../registry/origin.ts';
import { byTag, cutPage } from '../../registry/page.ts';
import { type PageOptions, type ReadOptions, type TagsPage, traceOf } from '../../registry/registry.ts';
import { sortTags } from '../../registry/sort-tags.ts';
import type { ListFiles } from '../../store/records/list-files.ts';
import type { TagPolicy } from '../manifests/freshness.ts';
import { createListMemory, HeldLists, type KeptLists, type ListMemory } from './held-lists.ts';
import { type GatheringLimits, gatherPages, longListTtlMs, PageTrail, tooSlow } from './paginate.ts';

/** A page that was passed through counts as `whole`. */
export interface HeldTags {
  readonly end: 'whole' | 'long' | 'slow';
  readonly tags: readonly string[];
  /** Of the page after one that was passed through. */
  readonly nextQuery?: string;
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
/** So many tags are megabytes from the upstream: within the ttl no client makes it send them again. */
const largeList = 10_000;
const memoryBytes = 64 * 1024 * 1024;

export class CachedTagList {
  readonly #origin: Origin;
  readonly #options: CachedTagListOptions;
  readonly #lists: HeldLists<HeldTags>;
  readonly #trail = new PageTrail();

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
    const { n, last, query, ...read } = options;
    const held = this.#lists.peek(recordName);
    const isCostly = held?.end === 'long' || (held?.tags.length ?? 0) >= largeList;
    const reading = isCostly ? { signal: read.signal } : read; // no-cache must not gather it anew for each client
    const list = await this.#lists.get(recordName, reading, before =>
      this.#gather(repository, before, options),
    );
    if (list.value.end === 'whole') {
      const page = { ...(n !== undefined && { n }), ...(last !== undefined && { last }) };
      const { entries, next } = cutPage(list.value.tags, byTag, page);
      return { ...list.answer, tags: entries, ...(next && { next }) };
    }
    if (n === 0) return { ...list.answer, tags: [] };
    const asked = query ?? formatPage(n, last);
    const passed = await this.#lists.get(`${recordName}?${asked}`, read, () =>
      this.#pass(repository, asked, options),
    );
    const { tags, nextQuery } = passed.value;
    const leadsOn =
      nextQuery !== undefined && this.#trail.leadsOn(recordName, asked, nextQuery, markOf(passed.value));
    return { ...passed.answer, tags, ...(leadsOn && { nextQuery }) };
  }

  async #gather(repository: Repository, held: HeldTags | undefined, options: ReadOptions): Promise<HeldTags> {
    const origin = this.#origin;
    const { limits, signal } = this.#options;
    const ask = (after: TagsPage | undefined, asking: AbortSignal) => {
      const query = after?.nextQuery;
      return origin.tags(repository, {
        signal: asking,
        ...traceOf(options),
        ...(query === undefined ? { n: pageSize } : { query }),
      });
    };
    const leadsTo = ({ nextQuery }: TagsPage) => nextQuery;
    const source = { ask, leadsTo, markOf, bytesOf: bytesOfTags };
    const { pages, end } = await gatherPages(source, limits, signal);
    if (end === 'whole') return { end, tags: await sortTags(pages.map(({ tags }) => tags)) };
    if (end === 'slow' && held?.end === 'whole') throw tooSlow(origin.key, 'tags', limits.maxMs);
    return { end, tags: [] };
  }

  async #pass(repository: Repository, query: string, options: ReadOptions): Promise<HeldTags> {
    const { signal } = this.#options;
    const { tags, nextQuery } = await this.#origin.tags(repository, { signal, query, ...traceOf(options) });
    return { end: 'whole', tags, ...(nextQuery !== undefined && { nextQuery }) };
  }
}

function formatPage(n: number | undefined, last: string | undefined): string {
  return `${new URLSearchParams({
    ...(n !== undefined && { n: String(n) }),
    ...(last !== undefined && { last }),
  })}`;
}

/** Which tags a page has, as far as pages of one list can be told apart by it. */
function markOf({ tags }: { readonly tags: readonly string[] }): string {
  return tags.length === 0 ? '' : `${tags.length} ${tags[0]} ${tags.at(-1)}`;
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
      if (end === 'whole' && !key.includes('?')) files.write(key, { checkedAt, pieces: joinTags(tags) });
    },
  };
}

const tagsPerPiece = 1000;

/** One a line. */
function* joinTags(tags: readonly string[]): Generator<string, void, void> {
  for (let at = 0; at < tags.length; at += tagsPerPiece)
    yield `${at === 0 ? '' : '\n'}${tags.slice(at, at + tagsPerPiece).join('\n')}`;
}

export function createTagListMemory(): ListMemory<HeldTags> {
  return createListMemory<HeldTags>(bytesOfTags, memoryBytes);
}

/** A string's own cost and its characters. */
function bytesOfTags({ tags }: { readonly tags: readonly string[] }): number {
  return tags.reduce((sum, tag) => sum + 24 + tag.length, 0);
}
