/** Pages cut from a whole sorted list, and the orders that lists have (OCI distribution-spec end-8b). */

export interface CutPage {
  readonly entries: readonly string[];
  readonly next?: { readonly last: string; readonly n: number };
}

type Order = (a: string, b: string) => number;

/** OCI distribution-spec "Listing Tags": without regard to case, except between tags that differ in case alone. */
export function byTag(a: string, b: string): number {
  return byText(a.toLowerCase(), b.toLowerCase()) || byText(a, b);
}

export function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** At most `n` entries of `sorted` after `last`, which need not be in it. `n` 0: nothing, and no next page. */
export function cutPage(
  sorted: readonly string[],
  order: Order,
  page: { readonly n?: number; readonly last?: string },
): CutPage {
  const { n, last } = page;
  const start = firstAfter(sorted, order, last);
  const end = n === undefined ? sorted.length : Math.min(sorted.length, start + n);
  const entries = sorted.slice(start, end);
  const latest = entries.at(-1);
  if (n === undefined || latest === undefined || end === sorted.length) return { entries };
  return { entries, next: { last: latest, n } };
}

/** The index of the first entry after `last`; without it 0. */
export function firstAfter(sorted: readonly string[], order: Order, last: string | undefined): number {
  if (last === undefined) return 0;
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (order(sorted[middle] ?? '', last) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}
