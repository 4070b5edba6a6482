/**
 * Fetches the missing bytes of one growing blob: ranges of it or the whole, by several transfers at once. No byte that is on
 * disk or in flight is fetched again: a request is cut into the gaps that are left, and each gap is one transfer.
 */

import type { TransferPriority } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import type { Observer } from '../../telemetry/observer.ts';
import { type InFlightRange, InFlightRanges, isOpenEnded } from './in-flight-ranges.ts';
import type { ReservedRoom } from './reserved-room.ts';
import { type Chunk, resumeTransfer, type SourceList, type TransferPolicy } from './resume.ts';

/** A gap at most this far ahead of an open-ended transfer waits for that transfer. */
const nearBytes = 8 * 1024 * 1024;
/** An open-ended transfer ends at so many bytes that are here already; fewer are read and dropped. */
const skipBytes = 1024 * 1024;
/** So few bytes between two gaps are fetched again rather than asked around. */
const joinBytes = 64 * 1024;
/** More gaps than that are fetched as one. */
const maxGaps = 32;

export interface GapFetcherOptions {
  readonly ingest: Ingest;
  readonly room: ReservedRoom;
  readonly policy: TransferPolicy;
  readonly observer: Observer;
  now(): number;
  /** A source that knows no ranges has begun to send the whole blob. */
  onWhole(): void;
}

export interface FetchRequest {
  readonly from: number;
  /** One past the last byte; `Infinity`: to the blob's end. */
  readonly end: number;
  readonly sources: SourceList;
  readonly signal: AbortSignal;
  readonly priority: TransferPriority;
  /** See `BlobSource.open`. */
  onQueue(isWaiting: boolean): void;
  /** So many bytes have come for it. */
  onBytes?(count: number): void;
  /** There was no room for the first byte of the blob: the transfer that brings it. */
  onHandoff?(first: Chunk, rest: AsyncGenerator<Chunk, void, void>): void;
}

export class GapFetcher {
  readonly #options: GapFetcherOptions;
  readonly #inFlight = new InFlightRanges();
  #answered = false;
  #isContradicted = false;
  /** As a source has said it, and not only a manifest. */
  #confirmedSize: number | undefined;
  /** Of chunks that are here and not on disk yet. */
  #arrivedBytes = 0;

  constructor(options: GapFetcherOptions) {
    this.#options = options;
  }

  /** A source has answered: the size is known, if the source says it. */
  get answered(): boolean {
    return this.#answered;
  }

  /** A source's blob has another length than this one. */
  get isContradicted(): boolean {
    return this.#isContradicted;
  }

  /** Whether these bytes need a request of their own now. */
  isMissing(from: number, end: number): boolean {
    return this.#findGap(from, end, gap => this.#isFree(gap)) !== undefined;
  }

  /** Resolves when all of it is on disk. False: no room; what came so far stays. Errors: UpstreamError; the signal's reason. */
  async fetch(request: FetchRequest): Promise<boolean> {
    const { ingest } = this.#options;
    const isToEnd = request.end === Infinity;
    for (let hasBegun = false; ; ) {
      request.signal.throwIfAborted();
      const gap = this.#findGap(request.from, request.end, () => true);
      if (gap === undefined) return true;
      if (isToEnd ? this.#inFlight.covering(gap) !== undefined : !this.#isFree(gap)) {
        await this.#inFlight.nextDrop(request.signal);
        continue;
      }
      const limit = isToEnd ? Infinity : Math.min(request.end, ingest.size ?? Infinity);
      const range = this.#addRange(gap, limit);
      try {
        const ended = await this.#transfer(range, request, hasBegun);
        if (ended === 'no-room') return false;
        if (ended === 'source-ended' && isOpenEnded(range) && ingest.size === undefined)
          ingest.setSize(range.at);
      } catch (error) {
        if (error instanceof UpstreamError && error.failure === 'mismatch') this.#isContradicted = true;
        throw error;
      } finally {
        this.#inFlight.drop(range);
      }
      hasBegun = true;
    }
  }

  /** The first piece that is not in flight, of at most `maxBytes`. `none`: there is none. Errors: as `fetch`. */
  async fetchPiece(request: FetchRequest, maxBytes: number): Promise<'fetched' | 'none' | 'no-room'> {
    const size = this.#options.ingest.size ?? 0;
    const gap = this.#findGap(request.from, size, at => this.#inFlight.covering(at) === undefined);
    if (gap === undefined) return 'none';
    const range = this.#addRange(gap, Math.min(size, gap + maxBytes));
    try {
      const ended = await this.#transfer(range, request, this.#answered);
      return ended === 'no-room' ? ended : 'fetched';
    } finally {
      this.#inFlight.drop(range);
    }
  }

  /** The first byte of the span that is not on disk and that `matches`. */
  #findGap(from: number, end: number, matches: (offset: number) => boolean): number | undefined {
    const { ingest } = this.#options;
    for (let at = from; ; ) {
      const gap = ingest.gapFrom(at).start;
      if (gap >= Math.min(end, ingest.size ?? Infinity)) return undefined;
      if (matches(gap)) return gap;
      at = this.#inFlight.covering(gap)?.end ?? end;
    }
  }

  /** Not in flight, or only in an open-ended transfer that is still far away. */
  #isFree(offset: number): boolean {
    const range = this.#inFlight.covering(offset);
    return range === undefined || (isOpenEnded(range) && offset > range.at + nearBytes);
  }

  /** From `gap` to `limit`, to where more than a few bytes are on disk, or to the next range in flight: the nearest of them. */
  #addRange(gap: number, limit: number): InFlightRange {
    const stop = Math.min(this.#inFlight.nextStart(gap), limit);
    return this.#inFlight.add(gap, this.#endOfJoined(gap, stop));
  }

  /** Near gaps are joined; when more than `maxGaps` would be left, they become their span. */
  #endOfJoined(gap: number, stop: number): number {
    const { ingest } = this.#options;
    let first: number | undefined;
    for (let at = gap, gaps = 1; ; ) {
      const held = ingest.gapFrom(at).end;
      if (held === undefined || held >= stop) return first ?? stop;
      const after = ingest.gapFrom(held).start;
      if (after >= Math.min(stop, ingest.size ?? stop)) return first ?? held;
      at = after;
      if (after - held <= joinBytes) continue;
      first ??= held;
      gaps += 1;
      if (gaps > maxGaps) return stop;
    }
  }

  async #transfer(
    range: InFlightRange,
    request: FetchRequest,
    hasBegun: boolean,
  ): Promise<'source-ended' | 'met-held' | 'no-room'> {
    const { ingest, room } = this.#options;
    const closedBytes = ingest.heldBytes + this.#inFlight.pendingBytes;
    if (!isOpenEnded(range) && !room.couldHold(closedBytes)) return 'no-room'; // the client asks for it by itself
    const chunks = this.#open(range, request, hasBegun);
    let isHandedOn = false;
    try {
      for (;;) {
        const { done, value } = await chunks.next();
        if (done === true) return 'source-ended';
        const kept = await this.#keep(range, value);
        if (kept === 'no-room') {
          isHandedOn = value.at === 0 && isOpenEnded(range) && request.onHandoff !== undefined;
          if (isHandedOn) request.onHandoff?.(value, chunks);
        }
        if (kept !== 'kept') return 'no-room';
        if (ingest.failure !== undefined) throw ingest.failure; // reading back failed: the rest is of no use
        range.at = value.at + value.bytes.length;
        request.onBytes?.(value.bytes.length);
        if (isOpenEnded(range) && this.#coveredBytes(range) >= skipBytes) return 'met-held';
      }
    } finally {
      if (!isHandedOn) await chunks.return();
    }
  }

  #open(range: InFlightRange, request: FetchRequest, hasBegun: boolean): AsyncGenerator<Chunk, void, void> {
    const { ingest, policy, observer, now, onWhole } = this.#options;
    const isClosed = !isOpenEnded(range);
    return resumeTransfer({
      sources: request.sources,
      from: range.at,
      ...(isClosed ? { end: range.end } : {}),
      expectedSize: ingest.size,
      policy,
      signal: request.signal,
      observer,
      now,
      hasBegun,
      isOfWhole: request.end === Infinity,
      priority: request.priority,
      onQueue: isWaiting => request.onQueue(isWaiting),
      onOpened: (_source, size, isConfirmed) => {
        this.#answered = true;
        if (isConfirmed) this.#confirmedSize = size;
        if (size !== undefined) ingest.setSize(size);
        else ingest.wake();
        if (isClosed && size !== undefined) range.end = Math.min(range.end, size);
      },
      onWhole: start => {
        if (this.#inFlight.hasOpenEnded) return false; // that transfer brings the rest already
        range.at = start;
        range.end = Infinity;
        onWhole();
        return true;
      },
    });
  }

  /** `full`: there is room, but the disk takes no more. */
  async #keep(range: InFlightRange, chunk: Chunk): Promise<'kept' | 'no-room' | 'full'> {
    this.#arrivedBytes += chunk.bytes.length;
    try {
      if (!(await this.#takeRoom(range))) return 'no-room';
      return (await this.#store(range, chunk)) ? 'kept' : 'full';
    } finally {
      this.#arrivedBytes -= chunk.bytes.length;
    }
  }

  /** For the bytes that are here. A length that only a manifest claims promises nothing. */
  #takeRoom(range: InFlightRange): Promise<boolean> {
    const { ingest, room } = this.#options;
    const isConfirmed = ingest.size !== undefined && ingest.size === this.#confirmedSize;
    const here = ingest.heldBytes + this.#arrivedBytes;
    if (!isConfirmed) return room.take(here, 'unknown');
    // some bytes count twice, where gaps were joined
    const coming = Math.min(ingest.heldBytes + this.#inFlight.pendingBytes, ingest.size);
    return room.take(
      here,
      isOpenEnded(range) || this.#inFlight.hasOpenEnded ? ingest.size : Math.max(here, coming),
    );
  }

  /** Writes the bytes of the chunk that are neither on disk nor in another closed range. False: the disk takes no more. */
  async #store(range: InFlightRange, chunk: Chunk): Promise<boolean> {
    const { ingest, room } = this.#options;
    const end = chunk.at + chunk.bytes.length;
    for (let at = chunk.at; ; ) {
      const gap = ingest.gapFrom(at);
      if (gap.start >= end) return true;
      const other = this.#inFlight.closedAt(gap.start);
      if (other !== undefined && other !== range) {
        at = other.end;
        continue;
      }
      at = Math.min(end, gap.end ?? end, this.#inFlight.nextStart(gap.start));
      const bytes = chunk.bytes.subarray(gap.start - chunk.at, at - chunk.at);
      if (!(await room.write(ingest, { at: gap.start, bytes }))) return false;
    }
  }

  /** How many bytes from the range's position on are on disk or in closed ranges. */
  #coveredBytes(range: InFlightRange): number {
    const { ingest } = this.#options;
    for (let at = range.at; ; ) {
      const gap = ingest.gapFrom(at).start;
      const other = this.#inFlight.closedAt(gap);
      if (other === undefined) return gap - range.at;
      at = other.end;
    }
  }
}
