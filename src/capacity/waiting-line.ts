/** Those who wait for room, in the order they came. It knows no limit: it asks what fits. */
import type { Wish } from './ledger.ts';

interface Waiting extends Wish {
  readonly resolve: (granted: boolean) => void;
}

/** `grant` books at once; `never`: not even if everything were evicted. */
export interface Desk {
  fits(wish: Wish): boolean;
  never(wish: Wish): boolean;
  grant(wish: Wish): void;
}

export class WaitingLine {
  readonly #desk: Desk;
  readonly #waiting: Waiting[] = [];

  constructor(desk: Desk) {
    this.#desk = desk;
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  get wishes(): readonly Wish[] {
    return this.#waiting;
  }

  /** Resolves with true when the room is booked. */
  join(wish: Wish): Promise<boolean> {
    return new Promise(resolve => {
      this.#waiting.push({ ...wish, resolve });
    });
  }

  /** Serves from the front, up to the first who has to wait on. Who can't fit any more holds up nobody. */
  serve(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (!this.#desk.fits(first) && !this.#desk.never(first)) return;
      this.#waiting.shift();
      this.#answer(first);
    }
  }

  /** Nothing more will be freed: whoever fits now gets it, the others are sent away. */
  dismiss(): void {
    for (const waiting of this.#waiting.splice(0)) this.#answer(waiting);
  }

  #answer(waiting: Waiting): void {
    const fits = this.#desk.fits(waiting);
    if (fits) this.#desk.grant(waiting);
    waiting.resolve(fits);
  }
}
