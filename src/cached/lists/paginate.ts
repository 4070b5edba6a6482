/**
 * Reads a list of an upstream page by page until its end, within bounds of pages, time and bytes. A list that is longer,
 * or whose pages come too slowly, is not taken for whole: the caller passes it through.
 */
import { UpstreamError } from '../../registry/upstream-error.ts';

export interface PageSource<P> {
  /** The page after that one; the first without. */
  ask(after: P | undefined, signal: AbortSignal): Promise<P>;
  hasNext(page: P): boolean;
  bytesOf(page: P): number;
}

export interface GatheringLimits {
  readonly maxPages: number;
  /** For all pages together; the first one has the time that any question has. */
  readonly maxMs: number;
  readonly maxBytes: number;
}

export interface Gathered<P> {
  readonly pages: readonly P[];
  /** `whole`: all of it; `long`: more pages or bytes than the bounds; `slow`: more time. */
  readonly end: 'whole' | 'long' | 'slow';
}

export const gatheringLimits: GatheringLimits = { maxPages: 20, maxMs: 8000, maxBytes: 16 * 1024 * 1024 };

/** A list that was too long isn't gathered again for that long: it seldom becomes short. */
export const longListTtlMs = 3_600_000;

/** What is held whole is worth more than the news that this time it took too long: thrown in place of that. */
export function tooSlow(upstream: string, kind: 'tags' | 'referrers', maxMs: number): UpstreamError {
  const message = `expected all pages of a list within ${maxMs} ms, got some`;
  return new UpstreamError({ upstream, kind, failure: 'timeout', message });
}

/** Errors: those of `source.ask`, among them the signal's reason. */
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
  try {
    for (;;) {
      const page = await source.ask(pages.at(-1), asking.signal);
      pages.push(page);
      bytes += source.bytesOf(page);
      if (bytes > limits.maxBytes) return { pages, end: 'long' };
      if (!source.hasNext(page)) return { pages, end: 'whole' };
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
