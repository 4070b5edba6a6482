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

const pieceBytes = 16 * 1024 * 1024;

export class ParallelTransfer {
  readonly #fetcher: GapFetcher;
  readonly #request: FetchRequest;
  readonly #source: BlobSource;
  readonly #count: ConnectionCount;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  #isOver = false;
  #hasRoom = true;
  #failure: unknown;

  constructor(fetcher: GapFetcher, request: FetchRequest, now: () => number) {
    this.#fetcher = fetcher;
    this.#source = askRedirected(request.sources.current());
    this.#count = new ConnectionCount(now);
    const signal = AbortSignal.any([request.signal, this.#stop.signal]);
    this.#request = { ...request, signal, onBytes: bytes => this.#adjust(this.#count.arrived(bytes)) };
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
    try {
      while (!this.#isOver) {
        const sources = new SourceList([this.#source]);
        const piece = await this.#fetcher.fetchPiece({ ...this.#request, sources }, pieceBytes);
        if (piece === 'no-room') this.#hasRoom = false;
        if (piece !== 'fetched') this.#isOver = true;
      }
    } catch (error) {
      this.#isOver = true;
      if (error instanceof UpstreamError) return; // the single transfer has all the sources, and the time to try again
      this.#failure ??= error;
      this.#stop.abort(error);
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
  /** Bytes per millisecond, of the count before it grew. */
  readonly best: number;
  /** One connection more brought nothing: the count stays. */
  readonly isSettled: boolean;
}

export const firstPace: Pace = { count: 1, best: 0, isSettled: false };

const maxCount = 8;
/** Less is noise. */
const minGrowth = 1.1;
const windowBytes = 4 * 1024 * 1024;

/** After a window in which so many bytes came per millisecond. */
export function nextPace(pace: Pace, rate: number): Pace {
  if (pace.isSettled) return pace;
  if (rate < pace.best * minGrowth) return { ...pace, count: Math.max(1, pace.count - 1), isSettled: true };
  return { count: Math.min(maxCount, pace.count + 1), best: rate, isSettled: pace.count === maxCount };
}

/** One connection more as long as that made the whole faster. Windows are bytes, so that a slow line decides as well. */
export class ConnectionCount {
  readonly #now: () => number;
  #pace = firstPace;
  #bytes = 0;
  #since: number;

  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  /** So many bytes have come, over all connections; returns how many connections there should be. */
  arrived(bytes: number): number {
    this.#bytes += bytes;
    if (this.#bytes >= windowBytes * this.#pace.count) {
      const now = this.#now();
      this.#pace = nextPace(this.#pace, this.#bytes / Math.max(1, now - this.#since));
      this.#bytes = 0;
      this.#since = now;
    }
    return this.#pace.count;
  }
}
