/**
 * Fetches what is missing of one growing blob: spans of it, or all of it, several at once over one file. Nothing that is
 * on disk is fetched again, and what another transfer is bringing is waited for: a span is cut into the gaps that are
 * left, each is one request, closed by what lies behind it.
 *
 * An open-ended transfer gives way to a span that begins more than `nearBytes` ahead of it. When it gets there it ends, or
 * reads over a short one. A source that answers a closed range with the whole blob gives the whole: see `onWhole`.
 */

import { waitFor } from '../../lib/wait.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import type { Observer } from '../../telemetry/observer.ts';
import { type InFlightRange, InFlightRanges, isOpenEnded } from './in-flight-ranges.ts';
import type { ReservedRoom } from './reserved-room.ts';
import { type Chunk, resumeTransfer, type TransferPolicy } from './resume.ts';
import type { SourceList } from './source-list.ts';

/** A span that starts this little ahead of an open-ended transfer waits for it. */
const nearBytes = 8 * 1024 * 1024;
/** So many bytes that are here already are worth a new request; fewer are read and dropped. */
const worthBytes = 1024 * 1024;

export interface GapFetcherOptions {
  readonly ingest: Ingest;
  readonly room: ReservedRoom;
  readonly policy: TransferPolicy;
  readonly observer: Observer;
  now(): number;
  /** A source that knows no ranges has begun to give all of it. */
  onWhole(): void;
}

export interface Fill {
  readonly from: number;
  /** One past the last byte; `Infinity`: to the blob's end. */
  readonly end: number;
  readonly sources: SourceList;
  readonly signal: AbortSignal;
  isBackground(): boolean;
  /** So many bytes have come for it. */
  onBytes?(count: number): void;
  /** There was no room for the first byte of the blob: the transfer that brings it. */
  onLeftover?(first: Chunk, rest: AsyncGenerator<Chunk, void, void>): void;
}

export class GapFetcher {
  readonly #options: GapFetcherOptions;
  readonly #claims = new InFlightRanges();
  #answered = false;
  #isContradicted = false;

  constructor(options: GapFetcherOptions) {
    this.#options = options;
  }

  /** A source has answered: what is known of the size is known. */
  get answered(): boolean {
    return this.#answered;
  }

  /** A source's blob has another length than this one. */
  get isContradicted(): boolean {
    return this.#isContradicted;
  }

  /** Whether a request would be needed for it now. */
  isMissing(from: number, end: number): boolean {
    return this.#gapIn(from, end, gap => this.#isFree(gap)) !== undefined;
  }

  /** Resolves when all of it is on disk. False: no room; what came so far is there. Errors: UpstreamError; the signal's reason. */
  async fill(fill: Fill): Promise<boolean> {
    const { ingest } = this.#options;
    const isToEnd = fill.end === Infinity;
    for (let hasBegun = false; ; ) {
      fill.signal.throwIfAborted();
      const gap = this.#gapIn(fill.from, fill.end, () => true);
      if (gap === undefined) return true;
      if (isToEnd ? this.#claims.covering(gap) !== undefined : !this.#isFree(gap)) {
        await this.#untilDropped(fill.signal);
        continue;
      }
      const next = Math.min(ingest.gapFrom(gap).end ?? Infinity, this.#claims.nextStart(gap));
      const claim = this.#claims.add(
        gap,
        Math.min(next, isToEnd ? Infinity : Math.min(fill.end, ingest.size ?? Infinity)),
      );
      try {
        const ended = await this.#transfer(claim, fill, hasBegun);
        if (ended === 'no-room') return false;
        if (ended === 'source-ended' && isOpenEnded(claim) && ingest.size === undefined)
          ingest.setSize(claim.at);
      } catch (error) {
        if (error instanceof UpstreamError && error.failure === 'mismatch') this.#isContradicted = true;
        throw error;
      } finally {
        this.#claims.drop(claim);
      }
      hasBegun = true;
    }
  }

  /** One piece of at most `maxBytes`, the earliest that nobody brings. `none`: there is no such. Errors: as `fill`. */
  async fillPiece(fill: Fill, maxBytes: number): Promise<'filled' | 'none' | 'no-room'> {
    const { ingest, room } = this.#options;
    const size = ingest.size ?? 0;
    if (!(await room.take(size, true))) return 'no-room';
    const gap = this.#gapIn(fill.from, size, offset => this.#claims.covering(offset) === undefined);
    if (gap === undefined) return 'none';
    const next = Math.min(ingest.gapFrom(gap).end ?? size, this.#claims.nextStart(gap));
    const claim = this.#claims.add(gap, Math.min(next, gap + maxBytes));
    try {
      const ended = await this.#transfer(claim, fill, this.#answered);
      return ended === 'no-room' ? ended : 'filled';
    } finally {
      this.#claims.drop(claim);
    }
  }

  /** The first byte of the span that isn't on disk and is `wanted`. */
  #gapIn(from: number, end: number, wanted: (offset: number) => boolean): number | undefined {
    const { ingest } = this.#options;
    for (let at = from; ; ) {
      const gap = ingest.gapFrom(at).start;
      if (gap >= Math.min(end, ingest.size ?? Infinity)) return undefined;
      if (wanted(gap)) return gap;
      at = this.#claims.covering(gap)?.end ?? end;
    }
  }

  /** Nobody brings it, or only somebody who has far to go. */
  #isFree(offset: number): boolean {
    const claim = this.#claims.covering(offset);
    return claim === undefined || (isOpenEnded(claim) && offset > claim.at + nearBytes);
  }

  async #untilDropped(signal: AbortSignal): Promise<void> {
    const { changed, cancel } = this.#claims.nextDrop();
    try {
      await waitFor(changed, signal);
    } finally {
      cancel();
    }
  }

  async #transfer(
    claim: InFlightRange,
    fill: Fill,
    hasBegun: boolean,
  ): Promise<'source-ended' | 'left' | 'no-room'> {
    const { ingest } = this.#options;
    if (!isOpenEnded(claim) && !(await this.#takeRoom(claim, 0))) return 'no-room';
    const chunks = this.#open(claim, fill, hasBegun);
    let isHandedOn = false;
    try {
      for (;;) {
        const { done, value } = await chunks.next();
        if (done === true) return 'source-ended';
        if (!(await this.#takeRoom(claim, value.bytes.length))) {
          isHandedOn = value.at === 0 && fill.onLeftover !== undefined;
          if (isHandedOn) fill.onLeftover?.(value, chunks);
          return 'no-room';
        }
        if (!(await this.#store(claim, value))) return 'no-room';
        if (ingest.failure !== undefined) throw ingest.failure; // reading back failed: the rest is of no use
        claim.at = value.at + value.bytes.length;
        fill.onBytes?.(value.bytes.length);
        if (isOpenEnded(claim) && this.#hereFrom(claim) >= worthBytes) return 'left';
      }
    } finally {
      if (!isHandedOn) await chunks.return();
    }
  }

  #open(claim: InFlightRange, fill: Fill, hasBegun: boolean): AsyncGenerator<Chunk, void, void> {
    const { ingest, policy, observer, now, onWhole } = this.#options;
    const isClosed = !isOpenEnded(claim);
    return resumeTransfer({
      sources: fill.sources,
      from: claim.at,
      ...(isClosed ? { end: claim.end } : {}),
      expectedSize: ingest.size,
      ...policy,
      signal: fill.signal,
      observer,
      now,
      hasBegun,
      insists: fill.end === Infinity,
      isBackground: fill.isBackground,
      onOpened: (_source, size) => {
        this.#answered = true;
        if (size !== undefined) ingest.setSize(size);
        else ingest.wake();
        if (isClosed && size !== undefined) claim.end = Math.min(claim.end, size);
      },
      onWhole: start => {
        if (this.#claims.hasOpenEnded) return false; // that one brings the rest already
        claim.at = start;
        claim.end = Infinity;
        onWhole();
        return true;
      },
    });
  }

  /** Of a blob that comes as a whole, all of its room at once; else of what is here and on its way. */
  #takeRoom(claim: InFlightRange, moreBytes: number): Promise<boolean> {
    const { ingest, room } = this.#options;
    if (isOpenEnded(claim) && ingest.size !== undefined) return room.take(ingest.size, true);
    const open = isOpenEnded(claim) ? moreBytes : 0;
    return room.take(ingest.heldBytes + this.#claims.pendingBytes + open, !isOpenEnded(claim));
  }

  /** Writes what of the chunk is neither here nor another's to bring. False: the disk takes no more. */
  async #store(claim: InFlightRange, chunk: Chunk): Promise<boolean> {
    const { ingest, room } = this.#options;
    const end = chunk.at + chunk.bytes.length;
    for (let at = chunk.at; ; ) {
      const gap = ingest.gapFrom(at);
      if (gap.start >= end) return true;
      const other = this.#claims.closedAt(gap.start);
      if (other !== undefined && other !== claim) {
        at = other.end;
        continue;
      }
      at = Math.min(end, gap.end ?? end, this.#claims.nextStart(gap.start));
      const bytes = chunk.bytes.subarray(gap.start - chunk.at, at - chunk.at);
      if (!(await room.write(ingest, { at: gap.start, bytes }))) return false;
    }
  }

  /** How many bytes from the claim's front on needn't come by it. */
  #hereFrom(claim: InFlightRange): number {
    const { ingest } = this.#options;
    for (let at = claim.at; ; ) {
      const gap = ingest.gapFrom(at).start;
      const other = this.#claims.closedAt(gap);
      if (other === undefined) return gap - claim.at;
      at = other.end;
    }
  }
}
