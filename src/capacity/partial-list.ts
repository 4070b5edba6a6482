/** Partials on disk that nobody fills at the moment, coldest first. They count in the limit and go before any blob. */
import type { Digest } from '../oci/digest.ts';

export interface Partial {
  readonly digest: Digest;
  /** On disk. */
  readonly bytes: number;
  /** When it last grew: milliseconds since the epoch. */
  readonly lastUseMs: number;
}

export class PartialList {
  readonly #partials = new Map<Digest, Partial>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  bytesOf(digest: Digest): number {
    return this.#partials.get(digest)?.bytes ?? 0;
  }

  has(digest: Digest): boolean {
    return this.#partials.has(digest);
  }

  set(partial: Partial): void {
    this.delete(partial.digest);
    this.#partials.set(partial.digest, partial);
    this.#bytes += partial.bytes;
  }

  delete(digest: Digest): void {
    this.#bytes -= this.bytesOf(digest);
    this.#partials.delete(digest);
  }

  coldestFirst(): readonly Partial[] {
    return [...this.#partials.values()].sort((a, b) => a.lastUseMs - b.lastUseMs);
  }
}
