/**
 * The longest turn of the event loop, in CPU time of the main thread, so that others on the machine don't count: a timer of
 * 1 ms looks at what the thread has used since the last time. Too long by what happens within that millisecond.
 */
import { readFileSync } from 'node:fs';

export class TurnWatch {
  #lastMs = cpuMs();
  #longestMs = 0;

  /** Watches until the process ends, and doesn't keep it from that. */
  constructor() {
    setInterval(() => this.#look(), 1).unref();
  }

  /** Since the start, or the last `restart`. */
  get longestMs(): number {
    return this.#longestMs;
  }

  restart(): void {
    this.#longestMs = 0;
    this.#lastMs = cpuMs();
  }

  #look(): void {
    const nowMs = cpuMs();
    this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
    this.#lastMs = nowMs;
  }
}

/** What this thread has used of a CPU so far; Linux gives nanoseconds. */
function cpuMs(): number {
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ', 1)[0]) / 1e6;
}
