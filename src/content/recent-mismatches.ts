/**
 * Digests whose bytes were wrong a moment ago. For a minute a Range that starts above 0 gets the whole blob with 200:
 * a client that was cut must not glue a good tail to the wrong head that it has.
 */
import type { Digest } from '../oci/digest.ts';

const suspectMs = 60_000;

export class RecentMismatches {
  readonly #until = new Map<Digest, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  add(digest: Digest): void {
    const now = this.#now();
    for (const [other, until] of this.#until) {
      if (until <= now) this.#until.delete(other);
    }
    this.#until.set(digest, now + suspectMs);
  }

  has(digest: Digest): boolean {
    return (this.#until.get(digest) ?? 0) > this.#now();
  }
}
