/** Pages of an upstream's lists, gathered within bounds of pages, time and bytes (OCI distribution-spec end-8b). */
import { LRUCache } from 'lru-cache';
import { UpstreamError } from '../../registry/upstream-error.ts';

export interface PageSource<P> {
  /** The page after that one; without it the first. */
  ask(after: P | undefined, signal: AbortSignal): Promise<P>;
  /** The query of the page after it; undefined: it is the last one. */
  leadsTo(page: P): string | undefined;
  /** The same for pages of the same entries; '' for one without entries. */
  markOf(page: P): string;
  bytesOf(page: P): number;
}

export interface GatheringLimits {
  readonly maxPages: number;
  /** For all pages together; the first one may take longer. */
  readonly maxMs: number;
  readonly maxBytes: number;
}

export interface Gathered<P> {
  readonly pages: readonly P[];
  /** `whole`: all pages; `long`: more pages or bytes than the limits; `slow`: more time. */
  readonly end: 'whole' | 'long' | 'slow';
}

export const gatheringLimits: GatheringLimits = { maxPages: 20, maxMs: 8000, maxBytes: 48 * 1024 * 1024 };

/** A list that was too long isn't gathered again for that long. */
export const longListTtlMs = 3_600_000;

/** Thrown when a whole list is held and reading it again was too slow: the held one goes out stale then. */
export function tooSlow(upstream: string, kind: 'tags' | 'referrers', maxMs: number): UpstreamError {
  const message = `the pages of the list took longer than ${maxMs} ms`;
  return new UpstreamError({ upstream, kind, failure: 'timeout', message });
}

/** Pages that lead back to one of them end the list. Errors: those of `source.ask`, among them the signal's reason. */
export async function gatherPages<P>(
  source: PageSource<P>,
  limits: GatheringLimits,
  signal: AbortSignal,
): Promise<Gathered<P>> {
  const pages: P[] = [];
  const asking = new AbortController();
  const onAbort = () => asking.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    if (pages.length > 0) asking.abort(new Error(`the pages of a list took more than ${limits.maxMs} ms`));
  }, limits.maxMs);
  let bytes = 0;
  const queries = new Set<string>();
  const marks = new Set<string>();
  try {
    for (;;) {
      const page = await source.ask(pages.at(-1), asking.signal);
      const mark = source.markOf(page);
      if (mark !== '' && marks.has(mark)) return { pages, end: 'whole' }; // the registry has begun again
      marks.add(mark);
      pages.push(page);
      bytes += source.bytesOf(page);
      if (bytes > limits.maxBytes) return { pages, end: 'long' };
      const query = source.leadsTo(page);
      if (query === undefined || queries.has(query)) return { pages, end: 'whole' };
      queries.add(query);
      if (pages.length >= limits.maxPages) return { pages, end: 'long' };
      if (isLate) return { pages, end: 'slow' };
    }
  } catch (error) {
    if (isLate && pages.length > 0 && !signal.aborted) return { pages, end: 'slow' };
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

/** More than any list has: 400,000 tags are 4,000 pages of a hundred. */
const maxPages = 10_000;
const maxSteps = 2000;

/** What is known of a page from the one that led to it. */
interface Step {
  /** How many pages there are before it. */
  readonly before: number;
  /** The mark of the page that led to it. */
  readonly mark: string;
}

/**
 * How far a client has gone through pages that are passed through. A registry whose pages lead back to themselves, or never end,
 * would keep the client asking for ever: such a link is not handed on.
 */
export class PageTrail {
  readonly #steps = new LRUCache<string, Step>({ max: maxSteps });

  /** Whether the page of `from` may lead a client to `to`: queries of one list. `mark` is the same for the same entries. */
  leadsOn(list: string, from: string, to: string, mark: string): boolean {
    const step = this.#steps.get(keyOf(list, from));
    const before = (step?.before ?? 0) + 1;
    const isSame = keyOf(list, from) === keyOf(list, to) || (mark !== '' && step?.mark === mark);
    if (isSame || before >= maxPages) return false;
    this.#steps.set(keyOf(list, to), { before, mark });
    return true;
  }
}

/** The order of the fields means nothing. */
function keyOf(list: string, query: string): string {
  const fields = new URLSearchParams(query);
  fields.sort();
  return `${list}?${fields}`;
}
