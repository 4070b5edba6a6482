/**
 * What the transfers of one blob are bringing: each range reaches from the next byte of its transfer to its end. Closed
 * ranges are disjoint. A closed range ahead of an open-ended one takes its bytes out of the open-ended one.
 */
import { Notifier, waitFor } from '../../lib/wait.ts';

/** Only its own transfer moves and widens it. */
export interface InFlightRange {
  /** The first byte that is still to come. */
  at: number;
  /** One past the last byte; `Infinity`: open-ended. */
  end: number;
}

export class InFlightRanges {
  readonly #ranges = new Set<InFlightRange>();
  readonly #dropped = new Notifier();

  add(at: number, end: number): InFlightRange {
    const range = { at, end };
    this.#ranges.add(range);
    return range;
  }

  /** Its transfer has ended, with or without all bytes. Idempotent. */
  drop(range: InFlightRange): void {
    this.#ranges.delete(range);
    this.#dropped.ring();
  }

  /** The range that brings the byte at `offset`: a closed one before an open-ended one. */
  covering(offset: number): InFlightRange | undefined {
    return this.closedAt(offset) ?? [...this.#ranges].find(range => covers(range, offset));
  }

  closedAt(offset: number): InFlightRange | undefined {
    return [...this.#ranges].find(range => !isOpenEnded(range) && covers(range, offset));
  }

  get hasOpenEnded(): boolean {
    return [...this.#ranges].some(isOpenEnded);
  }

  /** Where the next range beyond `offset` begins; `Infinity`: there is none. */
  nextStart(offset: number): number {
    const ahead = [...this.#ranges].filter(range => range.at > offset);
    return Math.min(...ahead.map(range => range.at));
  }

  /** Bytes that closed ranges have still to bring. */
  get pendingBytes(): number {
    const closed = [...this.#ranges].filter(range => !isOpenEnded(range));
    return closed.reduce((sum, { at, end }) => sum + Math.max(0, end - at), 0);
  }

  /** Resolves when a range is dropped. Errors: the signal's reason. */
  async nextDrop(signal: AbortSignal): Promise<void> {
    const { changed, cancel } = this.#dropped.next();
    await waitFor(changed, signal).finally(cancel);
  }
}

export function isOpenEnded(range: InFlightRange): boolean {
  return range.end === Number.POSITIVE_INFINITY;
}

function covers(range: InFlightRange, offset: number): boolean {
  return range.at <= offset && offset < range.end;
}
