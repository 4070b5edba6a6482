/**
 * Referrers: asked for without a filter and gathered, so that one held list answers every `artifactType`. An empty list, the
 * usual case, has a ttl of its own (`negative_ttl`). A list too long or too slow to gather is passed through.
 */
import { type Digest, digestOf, isDigest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/name.ts';
import {
  filterReferrers,
  joinReferrers,
  parseReferrers,
  type ReferrersIndex,
} from '../../oci/referrer-list.ts';
import type { Origin } from '../../registry/origin.ts';
import { type ReadOptions, type ReferrersAnswer, traceOf } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { ListFiles } from '../../store/records/list-files.ts';
import type { TagPolicy } from '../manifests/freshness.ts';
import { createListMemory, HeldLists, type KeptLists, type ListMemory } from './held-lists.ts';
import { type GatheringLimits, gatherPages, longListTtlMs, PageTrail, tooSlow } from './paginate.ts';

/** A page that was passed through counts as `whole`. */
export interface HeldReferrers {
  readonly end: 'whole' | 'long' | 'slow';
  readonly bytes: Buffer;
  readonly isEmpty: boolean;
  readonly filtered: boolean;
  readonly nextQuery?: string;
}

export interface CachedReferrersOptions {
  readonly tags: TagPolicy;
  readonly offline: boolean;
  readonly referrerLists: ListMemory<HeldReferrers>;
  readonly listFiles?: Pick<ListFiles, 'read' | 'write' | 'remove'>;
  /** Something of that digest is held there: the list of any other digest isn't kept on disk. */
  knows?(recordName: string, digest: Digest): boolean;
  readonly limits: GatheringLimits;
  /** Ends requests that outlive their clients. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface ReferrersOptions extends ReadOptions {
  /** The `nextQuery` of the page before. */
  readonly query?: string;
}

export class CachedReferrers {
  readonly #origin: Origin;
  readonly #options: CachedReferrersOptions;
  readonly #lists: HeldLists<HeldReferrers>;
  readonly #trail = new PageTrail();

  constructor(origin: Origin, options: CachedReferrersOptions) {
    this.#origin = origin;
    this.#options = options;
    const { tags, offline, referrerLists, now } = options;
    const { ttlMs, negativeTtlMs } = tags;
    this.#lists = new HeldLists({
      kind: 'referrers',
      origin,
      tags,
      offline,
      memory: referrerLists,
      now,
      ...(options.listFiles && { kept: this.#keptIn(options.listFiles) }),
      ttlMs: ({ end, isEmpty }) => {
        if (end === 'long') return Math.max(ttlMs, longListTtlMs);
        return isEmpty ? negativeTtlMs : ttlMs;
      },
    });
  }

  /** The whole list, or a page of the upstream's. `recordName` is the canonical name. Errors: UpstreamError. */
  async referrers(
    recordName: string,
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReferrersOptions,
  ): Promise<ReferrersAnswer> {
    const { query, ...read } = options;
    const key = `${recordName}@${digest}`;
    const reading = this.#lists.peek(key)?.end === 'long' ? { signal: read.signal } : read;
    const list = await this.#lists.get(key, reading, held => this.#gather(repository, digest, held, read));
    if (list.value.end === 'whole') {
      return { ...list.answer, ...filterBy(artifactType, list.value.bytes) };
    }
    const pageKey = `${key}?${new URLSearchParams({ artifactType: artifactType ?? '' })}&${query ?? ''}`;
    const page = { ...traceOf(read), ...(query !== undefined && { query }) };
    const passed = await this.#lists.get(pageKey, read, () =>
      this.#pass(repository, digest, artifactType, page),
    );
    const { bytes, filtered, nextQuery } = passed.value;
    const leadsOn =
      nextQuery !== undefined &&
      this.#trail.leadsOn(`${key} ${artifactType ?? ''}`, query ?? '', nextQuery, markOf(passed.value));
    return { ...passed.answer, bytes, filtered, ...(leadsOn && { nextQuery }) };
  }

  #keptIn(files: Pick<ListFiles, 'read' | 'write' | 'remove'>): KeptLists<HeldReferrers> {
    return {
      read: async key => {
        const named = parseKey(key);
        const list = named && (await files.read(named.recordName, named.digest));
        const bytes = Buffer.from(list?.text ?? '', 'base64');
        const index = list && parseReferrers(bytes);
        if (list === undefined || index === undefined) return undefined;
        const isEmpty = index.manifests.length === 0;
        return { checkedAt: list.checkedAt, value: { end: 'whole', bytes, isEmpty, filtered: false } };
      },
      remove: key => {
        const named = parseKey(key);
        if (named !== undefined) files.remove(named.recordName, named.digest);
      },
      write: (key, { checkedAt, value: { end, bytes } }) => {
        const named = parseKey(key);
        if (end !== 'whole' || named === undefined) return;
        if (this.#options.knows?.(named.recordName, named.digest) === true)
          files.write(named.recordName, { checkedAt, pieces: [bytes.toString('base64')] }, named.digest);
      },
    };
  }

  async #gather(
    repository: Repository,
    digest: Digest,
    held: HeldReferrers | undefined,
    read: ReadOptions,
  ): Promise<HeldReferrers> {
    const origin = this.#origin;
    const { limits, signal } = this.#options;
    const ask = (after: ReferrersAnswer | undefined, asking: AbortSignal) => {
      const query = after?.nextQuery;
      const options = { signal: asking, ...traceOf(read), ...(query !== undefined && { query }) };
      return origin.referrers(repository, digest, undefined, options);
    };
    const leadsTo = ({ nextQuery }: ReferrersAnswer) => nextQuery;
    const bytesOf = (page: ReferrersAnswer) => page.bytes.length;
    const { pages, end } = await gatherPages({ ask, leadsTo, markOf, bytesOf }, limits, signal);
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
    page: Pick<ReferrersOptions, 'query' | 'requestId'>,
  ): Promise<HeldReferrers> {
    const asked = { signal: this.#options.signal, ...page };
    const { bytes, filtered, nextQuery } = await this.#origin.referrers(
      repository,
      digest,
      artifactType,
      asked,
    );
    this.#parse(digest, bytes);
    return { end: 'whole', bytes, isEmpty: false, filtered, ...(nextQuery !== undefined && { nextQuery }) };
  }

  #parse(digest: Digest, bytes: Buffer): ReferrersIndex {
    const index = parseReferrers(bytes);
    if (index !== undefined) return index;
    const message = `the answer is not an index of the referrers of ${digest}`;
    throw new UpstreamError({ upstream: this.#origin.key, kind: 'referrers', failure: 'status', message });
  }
}

/** Undefined: the key of a page that was passed through. */
function parseKey(key: string): { readonly recordName: string; readonly digest: Digest } | undefined {
  const at = key.indexOf('@');
  const digest = key.slice(at + 1);
  return isDigest(digest) ? { recordName: key.slice(0, at), digest } : undefined;
}

export function createReferrersMemory(): ListMemory<HeldReferrers> {
  return createListMemory(({ bytes }) => bytes.length);
}

function markOf({ bytes }: { readonly bytes: Buffer }): string {
  return digestOf(bytes);
}

function filterBy(
  artifactType: string | undefined,
  bytes: Buffer,
): Pick<ReferrersAnswer, 'bytes' | 'filtered'> {
  const index = artifactType === undefined ? undefined : parseReferrers(bytes);
  if (index === undefined || artifactType === undefined) return { bytes, filtered: false };
  return { bytes: filterReferrers(index, artifactType), filtered: true };
}
