/**
 * Which bytes of a growing file are on disk: sorted, disjoint, half-open spans that never touch each other
 * (neighbours are merged). Pure bookkeeping; the ingest keeps one, the journal writes it down.
 */

export type Segment = readonly [start: number, end: number];

export class Segments {
  #list: Segment[];

  /** Errors: RangeError when the list is not sorted, disjoint and within whole non-negative numbers. */
  constructor(list: readonly Segment[] = []) {
    let last = -1;
    for (const [start, end] of list) {
      if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start <= last || end <= start) {
        throw new RangeError(`expected sorted, disjoint segments, got [${start}, ${end}] after ${last}`);
      }
      last = end;
    }
    this.#list = [...list];
  }

  add(start: number, end: number): void {
    if (end <= start) return;
    const last = this.#list.at(-1);
    if (last !== undefined && last[1] === start) {
      this.#list[this.#list.length - 1] = [last[0], end]; // the common case: a transfer goes on where it was
      return;
    }
    const before = this.#list.filter(segment => segment[1] < start);
    const after = this.#list.filter(segment => segment[0] > end);
    const touched = this.#list.slice(before.length, this.#list.length - after.length);
    const from = Math.min(start, touched[0]?.[0] ?? start);
    const to = Math.max(end, touched.at(-1)?.[1] ?? end);
    this.#list = [...before, [from, to], ...after];
  }

  /** Where the bytes that start at `offset` end: `offset` itself when it isn't held. */
  endFrom(offset: number): number {
    return this.#list.find(([start, end]) => start <= offset && offset < end)?.[1] ?? offset;
  }

  /** The first byte at or after `offset` that isn't held, and where the next held one begins (if any). */
  nextGap(offset: number): { readonly start: number; readonly end: number | undefined } {
    const start = this.endFrom(offset);
    return { start, end: this.#list.find(segment => segment[0] > start)?.[0] };
  }

  /** Drops everything at or after `offset`. */
  truncate(offset: number): void {
    this.#list = this.#list
      .filter(([start]) => start < offset)
      .map(([start, end]): Segment => [start, Math.min(end, offset)]);
  }

  get bytes(): number {
    return this.#list.reduce((sum, [start, end]) => sum + end - start, 0);
  }

  toJSON(): readonly Segment[] {
    return [...this.#list];
  }
}
