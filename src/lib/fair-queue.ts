/**
 * Runs so many at once; the others wait in one line per key, and the lines take turns. So a key with many waiting costs
 * another key one turn, not the whole line.
 */

export interface FairQueueOptions {
  readonly maxRunning: number;
  readonly maxWaitingPerKey: number;
  /** Of all keys together. */
  readonly maxWaiting: number;
}

export class FairQueue {
  readonly #options: FairQueueOptions;
  /** In the order of their turns; none is empty. */
  readonly #lines = new Map<string, (() => void)[]>();
  #running = 0;
  #waiting = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  /** Undefined: the line is full. Errors: those of `work`. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> | undefined {
    if (this.#running < this.#options.maxRunning) return this.#start(work);
    const line = this.#lines.get(key) ?? [];
    const { maxWaitingPerKey, maxWaiting } = this.#options;
    if (line.length >= maxWaitingPerKey || this.#waiting >= maxWaiting) return undefined;
    this.#waiting += 1;
    this.#lines.set(key, line);
    return new Promise((resolve, reject) => {
      line.push(() => void this.#start(work).then(resolve, reject));
    });
  }

  async #start<T>(work: () => Promise<T>): Promise<T> {
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
      this.#startNext();
    }
  }

  #startNext(): void {
    const [next] = this.#lines;
    if (next === undefined) return;
    const [key, line] = next;
    this.#lines.delete(key);
    const start = line.shift();
    if (line.length > 0) this.#lines.set(key, line); // at the end: the others come first
    this.#waiting -= 1;
    start?.();
  }
}
