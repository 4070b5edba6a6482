/**
 * A transfer read through the `BlobReader` contract: forward only, nothing kept, nothing verified. Bytes before the one
 * wanted (a source that ignored the range) are read and dropped.
 */
import type { BlobReader, OpenedSource } from '../../registry/registry.ts';

const preferredBytes = 64 * 1024;
const closed = new Error('expected an open reader, got one that was closed');

export class TransferReader implements BlobReader {
  readonly preferredBytes = preferredBytes;
  readonly #chunks: AsyncIterator<Buffer>;
  /** One past the last byte to give. */
  readonly #end: number | undefined;
  readonly #abort: (reason: unknown) => void;
  /** Offset of the first byte of `#chunk`. */
  #position: number;
  #chunk: Buffer = Buffer.alloc(0);
  #isClosed = false;

  constructor(opened: OpenedSource, end: number | undefined, abort: (reason: unknown) => void) {
    this.#chunks = opened.stream[Symbol.asyncIterator]();
    this.#position = opened.start;
    this.#end = end;
    this.#abort = abort;
  }

  async read(into: Buffer, at: number): Promise<number> {
    if (this.#isClosed) throw closed;
    if (at < this.#position)
      throw new RangeError(`expected a read from ${this.#position} on, got one from ${at}`);
    const wanted = Math.min(into.length, (this.#end ?? Number.MAX_SAFE_INTEGER) - at);
    if (wanted <= 0) return 0;
    while (this.#position + this.#chunk.length <= at) {
      this.#position += this.#chunk.length;
      const next = await this.#chunks.next();
      if (next.done === true) {
        this.#chunk = Buffer.alloc(0);
        return 0;
      }
      this.#chunk = next.value;
    }
    const count = this.#chunk.copy(into, 0, at - this.#position, at - this.#position + wanted);
    this.#chunk = this.#chunk.subarray(at - this.#position + count);
    this.#position = at + count;
    return count;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#abort(closed); // rejects a read that waits; `return` alone would wait behind it
    await this.#chunks.return?.().catch(() => undefined); // it ends with the reason just given
  }
}
