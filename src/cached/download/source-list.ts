/**
 * The sources of one transfer, in the order in which to ask them. It never dials. A source that has refused for good is
 * dropped; clients that join through other repositories add theirs.
 */
import type { BlobSource } from '../../registry/registry.ts';

export class SourceList {
  readonly #sources: BlobSource[];
  #index = 0;

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
    const source = this.#sources[Math.max(0, this.#index)];
    if (source === undefined) throw new Error('the source list is empty');
    return source;
  }

  /** `round`: all sources have been asked since the last round; the caller may wait. */
  next(): 'next' | 'round' {
    this.#index += 1;
    if (this.#index < this.#sources.length) return 'next';
    this.#index = 0;
    return 'round';
  }

  /** The sources after it keep their place in this round: `next` comes to them. */
  drop(source: BlobSource): void {
    const at = this.#sources.indexOf(source);
    if (at === -1) return;
    this.#sources.splice(at, 1);
    if (at <= this.#index) this.#index -= 1;
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
