/**
 * Keeps what is about to be linked from being removed. Who links takes a hold, then looks at the store, then links; who removes
 * marks, in the same turn as the last check, then unlinks. One process owns a store, so memory is enough.
 */
import type { Digest } from '../oci/digest.ts';

export class BlobHolds {
  readonly #holds = new Map<Digest, number>();
  readonly #removals = new Map<Digest, Promise<unknown>>();

  /** Waits for a removal of that digest that runs. The caller calls what it gets, once, when the link is written or given up. */
  async hold(digest: Digest): Promise<() => void> {
    for (
      let removal = this.#removals.get(digest);
      removal !== undefined;
      removal = this.#removals.get(digest)
    )
      await removal.catch(() => undefined); // its caller reports it
    this.#holds.set(digest, (this.#holds.get(digest) ?? 0) + 1);
    let isHeld = true;
    return () => {
      if (isHeld) this.#release(digest);
      isHeld = false;
    };
  }

  isHeld(digest: Digest): boolean {
    return this.#holds.has(digest);
  }

  /**
   * Runs `remove` unless the digest is held, being removed or `mayRemove` says no, all within this turn. Undefined: not
   * removed. Errors: those of `remove`.
   */
  async removeUnlessHeld<T>(
    digest: Digest,
    mayRemove: () => boolean,
    remove: () => Promise<T>,
  ): Promise<T | undefined> {
    if (this.#holds.has(digest) || this.#removals.has(digest) || !mayRemove()) return undefined;
    const removal = remove().finally(() => this.#removals.delete(digest));
    this.#removals.set(digest, removal);
    return removal;
  }

  #release(digest: Digest): void {
    const count = (this.#holds.get(digest) ?? 1) - 1;
    if (count === 0) this.#holds.delete(digest);
    else this.#holds.set(digest, count);
  }
}
