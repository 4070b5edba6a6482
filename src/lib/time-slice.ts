/**
 * Long work of the main thread in slices, so that requests which come meanwhile wait a few milliseconds and not for all of it:
 *
 *     const slice = new TimeSlice();
 *     for (…) { …; if (slice.isOver) await slice.next(); }     // or, where each step waits anyway: await slice.pause();
 */
import { setImmediate as nextTurn } from 'node:timers/promises';

const sliceMs = 5;

export class TimeSlice {
  /** On the clock of `performance.now()`. */
  #endsAtMs = performance.now() + sliceMs;

  /** Cheap, though not free: ask after each few hundred steps, never after more than a millisecond of work. */
  get isOver(): boolean {
    return performance.now() >= this.#endsAtMs;
  }

  /** `next`, when the slice is over. */
  async pause(): Promise<void> {
    if (this.isOver) await this.next();
  }

  /** Resolves in a later turn of the event loop, when what waited has had its turn. */
  async next(): Promise<void> {
    await nextTurn();
    this.#endsAtMs = performance.now() + sliceMs;
  }
}
