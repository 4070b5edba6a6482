/**
 * Where the tags of a repository pointed to, and since when. Of each tag the last 100 moves are kept, and all of 400 days; at most 10,000, so
 * that a tag that moves every minute does not fill the memory.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Tag } from '../../oci/name.ts';

export const keptMovesMs = 400 * 24 * 3_600_000;
const keptMoves = 100;
const maxMoves = 10_000;

/** From then on, in milliseconds since the epoch: as this mirror saw it. */
export interface PastTag {
  readonly at: number;
  /** Undefined: the upstream had no such tag. */
  readonly to?: Digest;
}

export class TagHistory {
  /** The oldest first; none is empty. */
  readonly #moves = new Map<Tag, PastTag[]>();
  /** Of all moves: the clock by which old ones are forgotten. */
  #newestAt = 0;

  /** The newest first. */
  of(tag: Tag): readonly PastTag[] {
    return this.#moves.get(tag)?.toReversed() ?? [];
  }

  /** The oldest first; of every tag that exists or existed. */
  entries(): Iterable<[Tag, readonly PastTag[]]> {
    return this.#moves.entries();
  }

  /** The tag points there; undefined: nowhere. The same again is no move. */
  seen(tag: Tag, to: Digest | undefined, at: number): void {
    const moves = this.#moves.get(tag) ?? [];
    if (moves.at(-1)?.to === to) return;
    this.#newestAt = Math.max(this.#newestAt, at);
    moves.push({ at, ...(to !== undefined && { to }) });
    dropOldMoves(moves);
    this.#moves.set(tag, moves);
  }

  /** As a rewrite has written them, the oldest first. */
  remember(tag: Tag, moves: readonly PastTag[]): void {
    if (moves.length > 0) this.#moves.set(tag, [...moves]);
    this.#newestAt = Math.max(this.#newestAt, moves.at(-1)?.at ?? 0);
  }

  /** Forgets tags that are held no longer, and whose last move is older than 400 days. */
  forgetOld(isHeld: (tag: Tag) => boolean): void {
    for (const [tag, moves] of this.#moves) {
      const lastAt = moves.at(-1)?.at ?? 0;
      if (lastAt < this.#newestAt - keptMovesMs && !isHeld(tag)) this.#moves.delete(tag);
    }
  }

  clear(): void {
    this.#moves.clear();
  }
}

/** The oldest first. Keeps the last one in any case. */
export function dropOldMoves(moves: { readonly at: number }[]): void {
  const lastAt = moves.at(-1)?.at ?? 0;
  let first = Math.max(0, moves.length - maxMoves);
  while (moves.length - first > keptMoves && (moves[first]?.at ?? lastAt) < lastAt - keptMovesMs) first += 1;
  moves.splice(0, first);
}
