/**
 * A clock that a test moves, with its timers: what waits until a time goes on when the clock is moved there.
 *
 *     const clock = new TestClock();
 *     const mirror = await startTestMirror({ upstream, now: clock.now, timers: clock });
 *     await clock.advance(6 * 3_600_000);
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Timers } from '../../src/lib/wait.ts';

interface Due {
  readonly atMs: number;
  readonly run: () => void;
}

export class TestClock implements Timers {
  readonly #waiting = new Set<Due>();
  #ms: number;

  constructor(startMs = 1_700_000_000_000) {
    this.#ms = startMs;
  }

  /** It may be handed on by itself. */
  readonly now = (): number => this.#ms;

  /** How many wait for a time. */
  get waiting(): number {
    return this.#waiting.size;
  }

  after(delayMs: number, run: () => void): () => void {
    const due = { atMs: this.#ms + delayMs, run };
    this.#waiting.add(due);
    return () => void this.#waiting.delete(due);
  }

  /** Timers run at their own times, in order; what they start may set further ones. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#ms + ms;
    for (;;) {
      await nextTurn();
      const [next] = [...this.#waiting].sort((one, other) => one.atMs - other.atMs);
      if (next === undefined || next.atMs > endMs) break;
      this.#waiting.delete(next);
      this.#ms = Math.max(this.#ms, next.atMs);
      next.run();
    }
    this.#ms = endMs;
  }
}
