/**
 * How many hosted repositories link a digest, over all logs that have been read. It tells when a digest gets its first link and when it
 * loses its last one, in the turn of the commit. Some 70 bytes per digest, whose text the repositories share.
 */
import type { Digest } from '../../oci/digest.ts';
import type { References } from './hosted-log.ts';
import type { LinkEvents } from './repository-state.ts';

export interface ReferenceEvents {
  /** It is hosted from now on. Bytes. */
  gained(digest: Digest, size: number): void;
  /** No repository links it any more. */
  lost(digest: Digest, size: number): void;
}

interface Reference {
  readonly size: number;
  count: number;
}

export class ReferenceCounts implements References, LinkEvents {
  readonly #references = new Map<Digest, Reference>();
  #events: ReferenceEvents | undefined;
  #bytes = 0;

  /** What is linked now: cached content asks at each answer. */
  get digests(): Pick<ReadonlySet<Digest>, 'has'> {
    return this.#references;
  }

  all(): Iterable<Digest> {
    return this.#references.keys();
  }

  get bytes(): number {
    return this.#bytes;
  }

  get count(): number {
    return this.#references.size;
  }

  has(digest: Digest): boolean {
    return this.#references.has(digest);
  }

  /** How many repositories link it. */
  countOf(digest: Digest): number {
    return this.#references.get(digest)?.count ?? 0;
  }

  /** As it was first linked, in bytes. Undefined: no repository links it. */
  sizeOf(digest: Digest): number | undefined {
    return this.#references.get(digest)?.size;
  }

  /** One listener. It gets what is linked already, too. */
  listen(events: ReferenceEvents): void {
    this.#events = events;
    for (const [digest, { size }] of this.#references) events.gained(digest, size);
  }

  linked(digest: Digest, size: number): void {
    const known = this.#references.get(digest);
    if (known !== undefined) {
      known.count += 1;
      return;
    }
    this.#references.set(digest, { size, count: 1 });
    this.#bytes += size;
    this.#events?.gained(digest, size);
  }

  unlinked(digest: Digest): void {
    const known = this.#references.get(digest);
    if (known === undefined) return;
    known.count -= 1;
    if (known.count > 0) return;
    this.#references.delete(digest);
    this.#bytes -= known.size;
    this.#events?.lost(digest, known.size);
  }
}
