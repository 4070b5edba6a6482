/**
 * How far a client has gone through pages that are passed through. A registry whose pages lead back to themselves, or never end,
 * would keep the client asking for ever: such a link is not handed on.
 */
import { LRUCache } from 'lru-cache';

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
