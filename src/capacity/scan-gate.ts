/** Holds reservations back until the store was scanned, but not for long: a pull is worth more than an exact count. */
export class ScanGate {
  readonly #waitMs: number;
  #opened: Promise<void> | undefined;
  #open: () => void = () => {};
  #isOpen = false;

  constructor(waitMs: number) {
    this.#waitMs = waitMs;
  }

  /** Resolves at `open`, or once the first one to come has waited `waitMs`; later ones wait only for what is left of it. */
  async pass(): Promise<void> {
    if (this.#isOpen) return;
    this.#opened ??= new Promise(resolve => {
      const timer = setTimeout(resolve, this.#waitMs);
      this.#open = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    await this.#opened;
  }

  open(): void {
    this.#isOpen = true;
    this.#open();
  }
}
