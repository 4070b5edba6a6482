/**
 * Work on the thread pool that the disk needs too: so many at once, the others wait in line, and a line that has grown too
 * long turns people away. A flood of logins costs logins, never pulls.
 */
import { RegistryError } from '../oci/error.ts';

export class FewAtOnce {
  readonly #most: number;
  readonly #mostWaiting: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: { readonly most: number; readonly mostWaiting: number }) {
    this.#most = options.most;
    this.#mostWaiting = options.mostWaiting;
  }

  /** Errors: those of `work`; UNAVAILABLE when too many wait already. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= this.#most) {
      if (this.#waiting.length >= this.#mostWaiting) {
        throw new RegistryError('UNAVAILABLE', { message: 'too many logins at once' });
      }
      await new Promise<void>(resolve => this.#waiting.push(resolve)); // its predecessor's place is handed over
    } else {
      this.#running += 1;
    }
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
