/** Wakes all who wait for the next change of something. No promise outlives its wait. */

export interface Wait {
  readonly changed: Promise<void>;
  /** Ends this wait now. */
  cancel(): void;
}

export class Notifier {
  readonly #waiters = new Set<() => void>();

  ring(): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const wake of waiters) wake();
  }

  next(): Wait {
    let wake = (): void => {};
    const changed = new Promise<void>(resolve => {
      wake = resolve;
    });
    this.#waiters.add(wake);
    const cancel = () => {
      this.#waiters.delete(wake);
      wake();
    };
    return { changed, cancel };
  }
}
