/**
 * Referrers: asked for without a filter and gathered, so that one held list answers every `artifactType`. That there are
 * none is the usual case, since clients ask at every pull; it has a ttl of its own (`negative_ttl`). A list too long or
 * too slow to gather is passed through, filter and page query with it.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/name.ts';
import {
  filterReferrers,
  joinReferrers,
  parseReferrers,
  type ReferrersIndex,
} from '../../oci/referrer-list.ts';
import type { Origin } from '../../registry/origin.ts';
import type { ReadOptions, ReferrersAnswer } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { TagPolicy } from '../manifests/freshness.ts';
import { createListMemory, HeldLists, type ListMemory } from './held-lists.ts';
import { type GatheringLimits, gatherPages, longListTtlMs, tooSlow } from './paginate.ts';

/** A page that was passed through is `whole`: there is nothing to gather. */
export interface HeldReferrers {
  readonly end: 'whole' | 'long' | 'slow';
  readonly bytes: Buffer;
  readonly isEmpty: boolean;
  readonly filtered: boolean;
  readonly nextQuery?: string;
}

export interface CachedReferrersOptions {
  readonly origin: Origin;
  readonly policy: TagPolicy;
  readonly offline: boolean;
  readonly memory: ListMemory<HeldReferrers>;
  readonly limits: GatheringLimits;
  readonly signal: AbortSignal;
  now(): number;
}

export interface ReferrersOptions extends ReadOptions {
  /** The upstream's own, from an earlier page's `nextQuery`. */
  readonly query?: string;
}

export class CachedReferrers {
  readonly #options: CachedReferrersOptions;
  readonly #lists: HeldLists<HeldReferrers>;

  constructor(options: CachedReferrersOptions) {
    this.#options = options;
    const { ttlMs, negativeTtlMs } = options.policy;
    this.#lists = new HeldLists({
      ...options,
      kind: 'referrers',
      ttlMs: ({ end, isEmpty }) => {
        if (end === 'long') return Math.max(ttlMs, longListTtlMs);
        return isEmpty ? negativeTtlMs : ttlMs;
      },
    });
  }

  /** The whole list, or a page as the upstream cuts it. `recordName` is the canonical name. Errors: UpstreamError. */
  async referrers(
    recordName: string,
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReferrersOptions,
  ): Promise<ReferrersAnswer> {
    const { query, ...read } = options;
    const key = `${recordName}@${digest}`;
    const gathering = this.#lists.peek(key)?.end === 'long' ? { signal: read.signal } : read;
    const list = await this.#lists.get(key, gathering, held => this.#gather(repository, digest, held));
    if (list.value.end === 'whole') {
      return { ...list.answer, ...filtered(list.value.bytes, artifactType) };
    }
    const pageKey = `${key}?${new URLSearchParams({ artifactType: artifactType ?? '' })}&${query ?? ''}`;
    const page = { ...(query !== undefined && { query }) };
    const passed = await this.#lists.get(pageKey, read, () =>
      this.#pass(repository, digest, artifactType, page),
    );
    const { bytes, filtered: isFiltered, nextQuery } = passed.value;
    return { ...passed.answer, bytes, filtered: isFiltered, ...(nextQuery !== undefined && { nextQuery }) };
  }

  async #gather(
    repository: Repository,
    digest: Digest,
    held: HeldReferrers | undefined,
  ): Promise<HeldReferrers> {
    const { origin, limits, signal } = this.#options;
    const ask = (after: ReferrersAnswer | undefined, asking: AbortSignal) => {
      const query = after?.nextQuery;
      const options = { signal: asking, ...(query !== undefined && { query }) };
      return origin.referrers(repository, digest, undefined, options);
    };
    const hasNext = (page: ReferrersAnswer) => page.nextQuery !== undefined;
    const bytesOf = (page: ReferrersAnswer) => page.bytes.length;
    const { pages, end } = await gatherPages({ ask, hasNext, bytesOf }, limits, signal);
    if (end === 'slow' && held?.end === 'whole') throw tooSlow(origin.key, 'referrers', limits.maxMs);
    if (end !== 'whole') return { end, bytes: Buffer.alloc(0), isEmpty: false, filtered: false };
    const indexes = pages.map(({ bytes }) => this.#parse(digest, bytes));
    const [only] = pages;
    const bytes = pages.length === 1 && only !== undefined ? only.bytes : joinReferrers(indexes);
    const isEmpty = indexes.every(({ manifests }) => manifests.length === 0);
    return { end, bytes, isEmpty, filtered: false };
  }

  async #pass(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    page: Pick<ReferrersOptions, 'query'>,
  ): Promise<HeldReferrers> {
    const { origin, signal } = this.#options;
    const passed = await origin.referrers(repository, digest, artifactType, { signal, ...page });
    const { bytes, filtered: isFiltered, nextQuery } = passed;
    this.#parse(digest, bytes);
    return {
      end: 'whole',
      bytes,
      isEmpty: false,
      filtered: isFiltered,
      ...(nextQuery !== undefined && { nextQuery }),
    };
  }

  #parse(digest: Digest, bytes: Buffer): ReferrersIndex {
    const index = parseReferrers(bytes);
    if (index !== undefined) return index;
    const message = `expected an index of what refers to ${digest}, got something else`;
    throw new UpstreamError({
      upstream: this.#options.origin.key,
      kind: 'referrers',
      failure: 'status',
      message,
    });
  }
}

export function createReferrersMemory(): ListMemory<HeldReferrers> {
  return createListMemory(({ bytes }) => bytes.length);
}

function filtered(
  bytes: Buffer,
  artifactType: string | undefined,
): Pick<ReferrersAnswer, 'bytes' | 'filtered'> {
  const index = artifactType === undefined ? undefined : parseReferrers(bytes);
  if (index === undefined || artifactType === undefined) return { bytes, filtered: false };
  return { bytes: filterReferrers(index, artifactType), filtered: true };
}
