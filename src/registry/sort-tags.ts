/**
 * Sorts tags as `tags/list` wants them, each once. It is a merge sort in slices, because the built-in sort would hold up everything
 * for as long as some hundred thousand tags take.
 */
import { TimeSlice } from '../lib/time-slice.ts';
import { byText } from './page.ts';

interface Keyed {
  readonly tag: string;
  readonly key: string;
}

const runLength = 1000;
const stepsPerLook = 500;

/** In the order of `byTag`. */
export async function sortTags(pages: readonly (readonly string[])[]): Promise<string[]> {
  const slice = new TimeSlice();
  let runs: Keyed[][] = [];
  for (const tags of pages) {
    for (let at = 0; at < tags.length; at += runLength) {
      const run = tags.slice(at, at + runLength).map(tag => ({ tag, key: tag.toLowerCase() }));
      runs.push(run.sort(compare));
      if (slice.isOver) await slice.next();
    }
  }
  while (runs.length > 1) {
    const merged: Keyed[][] = [];
    for (let at = 0; at < runs.length; at += 2)
      merged.push(await merge(runs[at] ?? [], runs[at + 1] ?? [], slice));
    runs = merged;
  }
  return unique(runs[0] ?? [], slice);
}

/** Without regard to case, except between tags that differ in case alone. */
function compare(a: Keyed, b: Keyed): number {
  return byText(a.key, b.key) || byText(a.tag, b.tag);
}

async function merge(left: readonly Keyed[], right: readonly Keyed[], slice: TimeSlice): Promise<Keyed[]> {
  const merged: Keyed[] = [];
  let [l, r] = [0, 0];
  for (;;) {
    const [a, b] = [left[l], right[r]];
    const next = a === undefined || (b !== undefined && compare(b, a) < 0) ? b : a;
    if (next === undefined) return merged;
    if (next === a) l += 1;
    else r += 1;
    merged.push(next);
    if (merged.length % stepsPerLook === 0 && slice.isOver) await slice.next();
  }
}

async function unique(sorted: readonly Keyed[], slice: TimeSlice): Promise<string[]> {
  const tags: string[] = [];
  for (const [index, { tag }] of sorted.entries()) {
    if (tag !== tags.at(-1)) tags.push(tag);
    if (index % stepsPerLook === 0 && slice.isOver) await slice.next();
  }
  return tags;
}
