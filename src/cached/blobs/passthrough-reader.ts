/**
 * A blob read from its sources for one client only, when the store has no room for it or the range is not worth
 * keeping. The one place where a byte may come over the wire twice.
 *
 * Guarantees: the same as an ingest's follower: nothing of a blob up to `verifyFirstBytes`, and no last byte of a
 * larger one, is given out before the digest is right. At most two network chunks are held.
 */
import type { Hash } from 'node:crypto';
import { algorithmOf, type Digest, finishDigest } from '../../oci/digest.ts';
import type { BlobReader } from '../../registry/registry.ts';
import { verifyFirstBytes } from '../../store/ingest/release-policy.ts';
import { MismatchError } from '../../store/store-error.ts';
import type { Chunk } from '../download/resume.ts';

export interface PassthroughReaderOptions {
  readonly digest: Digest;
  /** From the offset that `hash` stands at, or (unverified) from the range's first byte. */
  readonly chunks: AsyncGenerator<Chunk, void, void>;
  /** Undefined: a closed range that ends before the last byte; there is nothing to compare. */
  readonly hash: Hash | undefined;
  /** Of the whole blob; undefined while unknown. */
  readonly size: () => number | undefined;
  /** Ends the transfer. */
  readonly abort: () => void;
  /** An error that it returns is thrown instead. */
  onMismatch(error: MismatchError): unknown;
}

export class PassthroughReader implements BlobReader {
  readonly preferredBytes = 64 * 1024;
  readonly #options: PassthroughReaderOptions;
  readonly #ready: Chunk[] = [];
  #held: Chunk[] = [];
  #ended = false;
  #closed = false;

  constructor(options: PassthroughReaderOptions) {
    this.#options = options;
  }

  /** Waits for the first bytes that may be given out, so that errors come before any header does. */
  async prime(): Promise<void> {
    while (this.#ready.length === 0 && !this.#ended) await this.#pull();
  }

  async read(into: Buffer, at: number): Promise<number> {
    for (;;) {
      if (this.#closed) throw new Error('the reader is closed');
      const chunk = this.#ready[0];
      if (chunk === undefined) {
        if (this.#ended) return 0;
        await this.#pull();
        continue;
      }
      const skip = at - chunk.at;
      if (skip < 0) throw new Error(`expected a read at ${chunk.at} or later, got ${at}`);
      if (skip >= chunk.bytes.length) {
        this.#ready.shift();
        continue;
      }
      return chunk.bytes.copy(into, 0, skip);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.abort();
    await this.#options.chunks.return();
  }

  async #pull(): Promise<void> {
    const { digest, chunks, hash } = this.#options;
    const { done, value } = await chunks.next();
    if (done === true) {
      if (hash !== undefined && finishDigest(algorithmOf(digest), hash) !== digest) {
        const error = new MismatchError(digest);
        const explained = this.#options.onMismatch(error);
        throw explained instanceof Error ? explained : error;
      }
      this.#ready.push(...this.#held);
      this.#held = [];
      this.#ended = true;
      return;
    }
    hash?.update(value.bytes);
    const known = this.#options.size();
    const seen = value.at + value.bytes.length;
    if (hash === undefined) {
      this.#ready.push(value);
    } else if ((known ?? seen) <= verifyFirstBytes) {
      this.#held.push(value);
    } else {
      this.#ready.push(...this.#held);
      this.#held = [value];
    }
  }
}
