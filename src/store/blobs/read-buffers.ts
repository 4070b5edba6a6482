/**
 * How large a buffer each reader of a held blob is worth: large reads cost less CPU per byte (512 KiB a quarter less than
 * 256; beyond that nothing is won), yet a thousand slow clients must not hold a thousand of those. So all readers together
 * get `budgetBytes`, and none of them less than a follower has.
 */

const largestBytes = 512 * 1024;
const smallestBytes = 64 * 1024;
const budgetBytes = 32 * 1024 * 1024;

export class ReadBuffers {
  #readers = 0;

  /** One reader more. Its buffer in bytes: a power of two. */
  enter(): number {
    this.#readers += 1;
    const share = 2 ** Math.floor(Math.log2(budgetBytes / this.#readers));
    return Math.max(smallestBytes, Math.min(largestBytes, share));
  }

  /** To be called once for each `enter`. */
  leave(): void {
    this.#readers -= 1;
  }
}
