/**
 * Runs so many at once; the others wait in one line per key, and the lines take turns. So a key with many waiting costs
 * another key one turn, not the whole line. Where all places are taken, the longest line loses its last one to a shorter line.
 */

export interface FairQueueOptions {
  readonly maxRunning: number;
  readonly maxWaitingPerKey: number;
  /** Of all keys together. */
  readonly maxWaiting: number;
  /** The error of those who find no place, or lose it. */
  full(): Error;
}

interface Waiting {
  start(): void;
  refuse(): void;
}

export class FairQueue {
  readonly #options: FairQueueOptions;
  /** In the order of their turns; none is empty. */
  readonly #lines = new Map<string, Waiting[]>();
  #running = 0;
  #waiting = 0;

  constructor(options: FairQueueOptions) {
    this.#options = options;
  }

  /** Errors: those of `work`; `full` without a place. */
  run<T>(key: string, work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#options.maxRunning) return this.#start(work);
    const { maxWaitingPerKey, maxWaiting, full } = this.#options;
    const length = this.#lines.get(key)?.length ?? 0;
    if (length >= maxWaitingPerKey || (this.#waiting >= maxWaiting && !this.#makePlace(length)))
      return Promise.reject(full());
    this.#waiting += 1;
    return new Promise((resolve, reject) => {
      const line = this.#lines.get(key) ?? [];
      this.#lines.set(key, line);
      line.push({
        start: () => void this.#start(work).then(resolve, reject),
        refuse: () => reject(full()),
      });
    });
  }

  /** In a line that is longer than one of `length` and the new one. False: there is none. */
  #makePlace(length: number): boolean {
    let longest: Waiting[] = [];
    for (const line of this.#lines.values()) if (line.length > longest.length) longest = line;
    if (longest.length <= length + 1) return false;
    longest.pop()?.refuse();
    this.#waiting -= 1;
    return true;
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
    const first = line.shift();
    if (line.length > 0) this.#lines.set(key, line); // at the end: the others come first
    this.#waiting -= 1;
    first?.start();
  }
}
