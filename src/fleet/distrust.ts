/** Nodes that gave wrong bytes of a blob: for some minutes they aren't asked for it again. Bounded. */
import type { Digest } from '../oci/digest.ts';

const ttlMs = 10 * 60_000;
const maxEntries = 1000;

export class Distrust {
  readonly #now: () => number;
  readonly #until = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  add(node: string, digest: Digest): void {
    this.#until.set(`${node} ${digest}`, this.#now() + ttlMs);
    const [oldest] = this.#until.keys();
    if (this.#until.size > maxEntries && oldest !== undefined) this.#until.delete(oldest);
  }

  has(node: string, digest: Digest): boolean {
    const until = this.#until.get(`${node} ${digest}`);
    return until !== undefined && until > this.#now();
  }
}
