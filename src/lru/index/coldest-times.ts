/** The earliest few of any number of times, offered one by one: a heap with the latest of them on top. */

export class ColdestTimes {
  readonly #heap: Float64Array;
  #length = 0;

  /** `count`: how many are kept. */
  constructor(count: number) {
    this.#heap = new Float64Array(count);
  }

  /** Of those kept; Infinity while there is room for any. */
  get latest(): number {
    return this.#length < this.#heap.length ? Infinity : this.#at(0);
  }

  /** How many of those kept are earlier than the latest. */
  get earlierThanLatest(): number {
    const { latest } = this;
    return this.#heap.subarray(0, this.#length).reduce((sum, time) => sum + (time < latest ? 1 : 0), 0);
  }

  /** Gives `latest`: offering that or more changes nothing. */
  offer(time: number): number {
    if (this.#length < this.#heap.length) this.#rise(time);
    else if (time < this.latest) this.#sink(time);
    return this.latest;
  }

  #at(position: number): number {
    return this.#heap[position] ?? Infinity;
  }

  #rise(time: number): void {
    let here = this.#length;
    this.#length += 1;
    while (here > 0) {
      const above = (here - 1) >> 1;
      if (this.#at(above) >= time) break;
      this.#heap[here] = this.#at(above);
      here = above;
    }
    this.#heap[here] = time;
  }

  /** In place of the latest. */
  #sink(time: number): void {
    let here = 0;
    for (;;) {
      const left = 2 * here + 1;
      if (left >= this.#length) break;
      const right = left + 1;
      const child = right < this.#length && this.#at(right) > this.#at(left) ? right : left;
      if (this.#at(child) <= time) break;
      this.#heap[here] = this.#at(child);
      here = child;
    }
    this.#heap[here] = time;
  }
}
