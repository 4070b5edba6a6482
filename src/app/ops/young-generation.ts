/**
 * V8's young generation of a daemon: halves of 1 MB while it has little to do, 4 MB once it is busy. With small halves much that is dead a
 * moment later counts as old, which costs a sixth of the CPU of a manifest; V8 by itself goes to 16 MB, which costs 30 MB of memory.
 * The process begins with `--semi-space-growth-factor=1` (main.ts), so that what a start allocates does not make it grow.
 */
import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

const busyHalfBytes = 4 * 1024 * 1024;
const everyMs = 100;

/** V8 multiplies halves that are too small by a factor, and has no limit for them that a running process could set. */
export class YoungGeneration {
  /** It is called after collections of garbage, so never in a process that rests. */
  readonly #observer = new PerformanceObserver(() => this.#adjust());
  #lookedAtMs = 0;
  #factor = 1;

  constructor() {
    this.#observer.observe({ entryTypes: ['gc'] });
  }

  /** Idempotent. */
  close(): void {
    this.#observer.disconnect();
    this.#setFactor(1);
  }

  #adjust(): void {
    const nowMs = performance.now();
    if (nowMs - this.#lookedAtMs < everyMs) return;
    this.#lookedAtMs = nowMs;
    const space = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
    if (space !== undefined) this.#setFactor(space.space_size < 2 * busyHalfBytes ? 2 : 1);
  }

  #setFactor(factor: number): void {
    if (factor !== this.#factor) setFlagsFromString(`--semi-space-growth-factor=${factor}`);
    this.#factor = factor;
  }
}
