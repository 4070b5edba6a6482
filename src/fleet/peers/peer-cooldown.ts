/** What is not tried again for some minutes: a node for a blob that it gave wrong bytes of, or a node that can't be reached. Bounded. */

const maxEntries = 1000;

export class PeerCooldown {
  readonly #ttlMs: number;
  readonly #now: () => number;
  readonly #until = new Map<string, number>();

  constructor(ttlMs: number, now: () => number) {
    this.#ttlMs = ttlMs;
    this.#now = now;
  }

  add(what: string): void {
    this.#until.delete(what);
    this.#until.set(what, this.#now() + this.#ttlMs);
    const [oldest] = this.#until.keys();
    if (this.#until.size > maxEntries && oldest !== undefined) this.#until.delete(oldest);
  }

  has(what: string): boolean {
    const until = this.#until.get(what);
    return until !== undefined && until > this.#now();
  }
}
