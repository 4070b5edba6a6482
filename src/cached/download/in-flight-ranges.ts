/**
 * Who is fetching what of one blob: a claim is the span that one transfer brings, from the byte that it has come to up to
 * its end. Bytes that are claimed are waited for and not fetched again.
 *
 * Closed claims are disjoint. An open-ended one gives way: a claim ahead of it takes its bytes out of it, and the transfer
 * ends there or reads over them.
 */
import { Notifier, type Wait } from '../../lib/notifier.ts';

/** Its transfer moves and widens it; nobody else does. */
export interface InFlightRange {
  /** The first byte that is still to come. */
  at: number;
  /** One past the last byte; `Infinity`: open-ended. */
  end: number;
}

export class InFlightRanges {
  readonly #claims = new Set<InFlightRange>();
  readonly #bell = new Notifier();

  add(at: number, end: number): InFlightRange {
    const claim = { at, end };
    this.#claims.add(claim);
    return claim;
  }

  /** Its transfer is over, well or not. Idempotent. */
  drop(claim: InFlightRange): void {
    this.#claims.delete(claim);
    this.#bell.ring();
  }

  /** Whose bytes those at `offset` are: a closed claim's before an open-ended one's. */
  covering(offset: number): InFlightRange | undefined {
    return this.closedAt(offset) ?? [...this.#claims].find(claim => covers(claim, offset));
  }

  /** The closed claim that brings the byte at `offset`. */
  closedAt(offset: number): InFlightRange | undefined {
    return [...this.#claims].find(claim => !isOpenEnded(claim) && covers(claim, offset));
  }

  get hasOpenEnded(): boolean {
    return [...this.#claims].some(isOpenEnded);
  }

  /** Where the next claim beyond `offset` begins; `Infinity`: there is none. */
  nextStart(offset: number): number {
    const ahead = [...this.#claims].filter(claim => claim.at > offset);
    return Math.min(...ahead.map(claim => claim.at));
  }

  /** Bytes that closed claims have still to bring. */
  get pendingBytes(): number {
    const closed = [...this.#claims].filter(claim => !isOpenEnded(claim));
    return closed.reduce((sum, { at, end }) => sum + Math.max(0, end - at), 0);
  }

  /** Resolves when a claim is dropped. */
  nextDrop(): Wait {
    return this.#bell.next();
  }
}

export function isOpenEnded(claim: InFlightRange): boolean {
  return claim.end === Number.POSITIVE_INFINITY;
}

function covers(claim: InFlightRange, offset: number): boolean {
  return claim.at <= offset && offset < claim.end;
}
