/**
 * The sources of one transfer, in turn. A source that has said a final no is dropped; the list never dials, it only
 * says who is next. Joining clients of other repositories add theirs, so that one broken upstream ends nobody's pull.
 */
import type { BlobSource } from '../../registry/registry.ts';

export class SourceList {
  readonly #sources: BlobSource[];
  #turn = 0;

  constructor(sources: readonly BlobSource[]) {
    this.#sources = sources.flatMap(withAlternatives);
  }

  /** The same repository of the same upstream is kept once, at all its URLs. */
  add(source: BlobSource): void {
    if (!this.has(source.upstream, source.repository)) this.#sources.push(...withAlternatives(source));
  }

  has(upstream: string, repository: string): boolean {
    return this.#sources.some(held => held.upstream === upstream && held.repository === repository);
  }

  /** Errors: Error when the list is empty. */
  current(): BlobSource {
    const source = this.#sources[Math.max(0, this.#turn)];
    if (source === undefined) throw new Error('expected at least one source, got none');
    return source;
  }

  /** `round`: all have been asked once more, waiting is in order. */
  next(): 'next' | 'round' {
    this.#turn += 1;
    if (this.#turn < this.#sources.length) return 'next';
    this.#turn = 0;
    return 'round';
  }

  /** Those after it have not been asked in this round because of that: the turn steps back, `next` comes to them. */
  drop(source: BlobSource): void {
    const index = this.#sources.indexOf(source);
    if (index === -1) return;
    this.#sources.splice(index, 1);
    if (index <= this.#turn) this.#turn -= 1;
  }

  get exhausted(): boolean {
    return this.#sources.length === 0;
  }

  get count(): number {
    return this.#sources.length;
  }
}

function withAlternatives(source: BlobSource): readonly BlobSource[] {
  return [source, ...(source.alternatives ?? [])];
}
