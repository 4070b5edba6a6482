/**
 * A gate holds something back until the test says so. `reached` tells the test that a caller waits at it, so no
 * test has to sleep and hope.
 */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** `Promise.withResolvers` for Node 20. */
export function deferred<T = void>(): Deferred<T> {
  let resolve: (value: T) => void = () => {};
  let reject: (error: unknown) => void = () => {};
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

export class Gate {
  /** Resolves when the first one arrives at the gate. */
  readonly reached: Promise<void>;
  /** Resolves when the gate is opened; at once for those who come later. */
  readonly opened: Promise<void>;
  readonly #reach: () => void;
  readonly #open: () => void;
  #arrivals = 0;

  constructor() {
    const reached = deferred();
    const opened = deferred();
    this.reached = reached.promise;
    this.opened = opened.promise;
    this.#reach = reached.resolve;
    this.#open = opened.resolve;
  }

  /** How many have come to the gate so far. */
  get arrivals(): number {
    return this.#arrivals;
  }

  /** Opens it for those who wait and for all who come later. Idempotent. */
  release(): void {
    this.#open();
  }

  /** Called by what is held: reports the arrival and waits. */
  pass(): Promise<void> {
    this.#arrivals += 1;
    this.#reach();
    return this.opened;
  }
}
