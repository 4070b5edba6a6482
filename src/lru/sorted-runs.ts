/**
 * Sorts any number of entries by last use without ever blocking for long: each run of a few thousand is sorted when it is
 * full, and the runs are merged while they are read (a heap of one head per run).
 */
import type { LruEntry } from './lru.ts';

const runLength = 4096;

interface Run {
  readonly entries: readonly LruEntry[];
  next: number;
  /** Last use of the entry at `next`. */
  headMs: number;
}

export class SortedRuns {
  readonly #runs: Run[] = [];
  #filling: LruEntry[] = [];

  push(entry: LruEntry): void {
    this.#filling.push(entry);
    if (this.#filling.length >= runLength) this.#closeRun();
  }

  /** Coldest first. Call it once, after the last `push`. */
  *coldestFirst(): Generator<LruEntry> {
    this.#closeRun();
    const heap = this.#runs;
    heap.sort((a, b) => a.headMs - b.headMs); // a sorted array is a heap
    for (let run = heap[0]; run !== undefined; run = heap[0]) {
      const entry = run.entries[run.next];
      if (entry !== undefined) yield entry;
      run.next += 1;
      const head = run.entries[run.next];
      if (head !== undefined) run.headMs = head.lastUseMs;
      else replaceTop(heap);
      sink(heap);
    }
  }

  #closeRun(): void {
    const entries = this.#filling.sort((a, b) => a.lastUseMs - b.lastUseMs);
    this.#filling = [];
    const head = entries[0];
    if (head !== undefined) this.#runs.push({ entries, next: 0, headMs: head.lastUseMs });
  }
}

function replaceTop(heap: Run[]): void {
  const last = heap.pop();
  if (last !== undefined && heap.length > 0) heap[0] = last;
}

/** Moves the top down to where it belongs. */
function sink(heap: Run[]): void {
  for (let i = 0; ; ) {
    const here = heap[i];
    const left = heap[2 * i + 1];
    const right = heap[2 * i + 2];
    if (here === undefined || left === undefined) return;
    const isRight = right !== undefined && right.headMs < left.headMs;
    const child = isRight ? right : left;
    if (child.headMs >= here.headMs) return;
    const at = 2 * i + (isRight ? 2 : 1);
    heap[i] = child;
    heap[at] = here;
    i = at;
  }
}
