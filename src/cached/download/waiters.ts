/**
 * What the clients of one download want of it: all of the blob, or closed ranges of it. It goes on as long as something
 * is wanted. Who has found it in the table and waits for it to open is a visitor: it doesn't end before they have said
 * what they want.
 */
import { Notifier } from '../../lib/notifier.ts';

export class Waiters {
  readonly #bell = new Notifier();
  readonly #ranges = new Set<Promise<void>>();
  #visitors = 0;
  #isWhole = false;
  #isOver = false;

  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** Nothing was wanted any more: whoever comes now is too late. */
  get isOver(): boolean {
    return this.#isOver;
  }

  get hasVisitors(): boolean {
    return this.#visitors > 0;
  }

  /** False: too late. Otherwise `leave` follows, once. */
  enter(): boolean {
    if (!this.#isOver) this.#visitors += 1;
    return !this.#isOver;
  }

  leave(): void {
    this.#visitors -= 1;
    this.#bell.ring();
  }

  /** True: nobody has wanted all of it before. */
  addWhole(): boolean {
    const isFirst = !this.#isWhole;
    this.#isWhole = true;
    this.#bell.ring();
    return isFirst;
  }

  /** `ended` never rejects. */
  addRange(ended: Promise<void>): void {
    const range = ended.finally(() => {
      this.#ranges.delete(range);
      this.#bell.ring();
    });
    this.#ranges.add(range);
  }

  /** Resolves as soon as all of it is wanted, or (and then it is over) nothing any more. */
  async decided(): Promise<'whole' | 'nothing'> {
    for (;;) {
      if (this.#isWhole) return 'whole';
      if (this.#visitors === 0 && this.#ranges.size === 0) {
        this.#isOver = true;
        return 'nothing';
      }
      await this.#bell.next().changed;
    }
  }

  /** Resolves when no range is being fetched. */
  async rangesEnded(): Promise<void> {
    await Promise.all(this.#ranges);
  }
}
