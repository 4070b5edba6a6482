/**
 * All of one blob, by one transfer, or by several at once when the blob is large and its source some milliseconds away. The
 * parallel transfers take pieces that never overlap, the earliest first, and ask where the first redirect led. When one of
 * them fails, a single transfer takes over what is left.
 */
import { wrapSource } from '../../registry/origin.ts';
import type { BlobSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { FetchRequest, GapFetcher } from './gap-fetcher.ts';
import { SourceList } from './resume.ts';

const largestPieceBytes = 16 * 1024 * 1024;
const smallestPieceBytes = 4 * 1024 * 1024;
/** Two for each connection, so that the last ones end at much the same time. */
const wantedPieces = 16;

export class ParallelTransfer {
  readonly #fetcher: GapFetcher;
  readonly #request: FetchRequest;
  readonly #source: BlobSource;
  readonly #count = new ConnectionCount();
  readonly #now: () => number;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #pieceBytes: number;
  /** How many of those that run have brought a byte. */
  #begun = 0;
  #isOver = false;
  #hasRoom = true;
  #failure: unknown;

  /** `missingBytes`: of the blob, to choose pieces that are neither few nor small. */
  constructor(fetcher: GapFetcher, request: FetchRequest, missingBytes: number, now: () => number) {
    this.#fetcher = fetcher;
    this.#source = askRedirected(request.sources.current());
    this.#now = now;
    const signal = AbortSignal.any([request.signal, this.#stop.signal]);
    this.#request = { ...request, signal };
    const share = Math.ceil(missingBytes / wantedPieces);
    this.#pieceBytes = Math.min(largestPieceBytes, Math.max(smallestPieceBytes, share));
  }

  /** Resolves when no piece is left to take, or one failed. False: no room. Errors: any but the upstream's. */
  async run(): Promise<boolean> {
    this.#begin();
    while (this.#running.size > 0) await Promise.all(this.#running);
    if (this.#failure !== undefined) throw this.#failure;
    return this.#hasRoom;
  }

  #adjust(count: number): void {
    while (!this.#isOver && this.#running.size < count) this.#begin();
  }

  #begin(): void {
    const worker = this.#fetchPieces().finally(() => this.#running.delete(worker));
    this.#running.add(worker);
  }

  async #fetchPieces(): Promise<void> {
    let hasBegun = false;
    let lastMs: number | undefined;
    const onBytes = (bytes: number): void => {
      if (!hasBegun) this.#begun += 1;
      hasBegun = true;
      const nowMs = this.#now();
      const tookMs = lastMs === undefined ? undefined : nowMs - lastMs;
      lastMs = nowMs;
      this.#adjust(this.#count.arrived(bytes, tookMs, this.#begun >= this.#running.size));
    };
    try {
      while (!this.#isOver && this.#running.size <= this.#count.current) {
        const sources = new SourceList([this.#source]);
        lastMs = undefined; // the wait for an answer says nothing about the line
        const piece = await this.#fetcher.fetchPiece(
          { ...this.#request, sources, onBytes },
          this.#pieceBytes,
        );
        if (piece === 'no-room') this.#hasRoom = false;
        if (piece !== 'fetched') this.#isOver = true;
      }
    } catch (error) {
      this.#isOver = true;
      if (error instanceof UpstreamError) return; // the single transfer has all the sources, and the time to try again
      this.#failure ??= error;
      this.#stop.abort(error);
    } finally {
      if (hasBegun) this.#begun -= 1;
    }
  }
}

/** Asked where its first redirect led, as long as that is answered. */
function askRedirected(source: BlobSource): BlobSource {
  let known: URL | undefined;
  return wrapSource(source, inner => ({
    open: async (offset, options) => {
      const target = known;
      if (target !== undefined) {
        try {
          return await inner.open(offset, { ...options, target });
        } catch (error) {
          options.signal.throwIfAborted();
          if (!(error instanceof UpstreamError)) throw error;
          if (known === target) known = undefined; // its signature has expired, or was good for one request
        }
      }
      const opened = await inner.open(offset, options);
      known ??= opened.target;
      return opened;
    },
  }));
}

export interface Pace {
  readonly count: number;
  /** Bytes per millisecond, of all connections before there were more. */
  readonly best: number;
  /** More connections brought nothing: the count stays. */
  readonly isSettled: boolean;
}

export const firstPace: Pace = { count: 1, best: 0, isSettled: false };

const maxCount = 8;
/** Twice the connections should bring twice as much; less than that is noise. */
const minGrowth = 1.2;
/** A window has so many bytes for each connection, which took so long: bytes come in bursts, and less says nothing. */
const windowBytes = 1024 * 1024;
const windowMs = 60;
/** So many say enough, however fast they came. */
const longWindowBytes = 4 * 1024 * 1024;

/** After a window in which so many bytes came per millisecond. */
export function nextPace(pace: Pace, rate: number): Pace {
  if (pace.isSettled) return pace;
  if (rate < pace.best * minGrowth) return { ...pace, count: Math.max(1, pace.count / 2), isSettled: true };
  return { count: Math.min(maxCount, pace.count * 2), best: rate, isSettled: pace.count === maxCount };
}

/** Twice as many connections as long as that made the whole faster. */
export class ConnectionCount {
  #pace = firstPace;
  #bytes = 0;
  /** Summed over the connections. */
  #tookMs = 0;

  get current(): number {
    return this.#pace.count;
  }

  /**
   * So many bytes have come by one connection, so long after those before them (undefined: they are the first of an answer); returns how many
   * connections there should be. `haveAllBegun`: each of them has brought a byte; until then the others still have the line for themselves.
   */
  arrived(bytes: number, tookMs: number | undefined, haveAllBegun: boolean): number {
    const { count } = this.#pace;
    if (tookMs === undefined || !haveAllBegun) return count;
    this.#bytes += bytes;
    this.#tookMs += tookMs;
    const neededBytes = (this.#tookMs < windowMs * count ? longWindowBytes : windowBytes) * count;
    if (this.#bytes < neededBytes) return count;
    this.#pace = nextPace(this.#pace, (this.#bytes / Math.max(1, this.#tookMs)) * count);
    this.#bytes = 0;
    this.#tookMs = 0;
    return this.#pace.count;
  }
}
