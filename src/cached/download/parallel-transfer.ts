/**
 * All of one blob, by one transfer, or by several at once where the line is long: a large blob, a source some milliseconds
 * away. Several take closed pieces that never overlap, the earliest first, so that the front keeps moving; beyond the
 * first they ask where its redirect led. Whatever goes wrong with them, one transfer takes over what is left.
 */
import type { BlobSource, OpenedSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import { ConnectionCount } from './connection-count.ts';
import type { Fill, GapFetcher } from './gap-fetcher.ts';
import { SourceList } from './source-list.ts';

const minBytes = 32 * 1024 * 1024;
const minRoundTripMs = 5;
const pieceBytes = 16 * 1024 * 1024;

/** Resolves when all of it is on disk. False: no room. Errors: as `GapFetcher.fill`. */
export async function fillAll(
  ingest: Ingest,
  filling: GapFetcher,
  fill: Fill,
  now: () => number,
): Promise<boolean> {
  const source = fill.sources.current();
  const isLarge = (ingest.size ?? 0) - ingest.heldBytes >= minBytes;
  const isFar = (source.roundTripMs?.() ?? 0) >= minRoundTripMs;
  if (isLarge && isFar && source.parallel !== false) {
    const isFilled = await fillBySeveral(filling, fill, new RedirectedSource(source), now);
    if (!isFilled) return false;
  }
  return filling.fill(fill);
}

/** Resolves when no piece is left to take, or one failed. False: no room. Errors: others than the upstream's. */
async function fillBySeveral(
  filling: GapFetcher,
  fill: Fill,
  source: BlobSource,
  now: () => number,
): Promise<boolean> {
  const count = new ConnectionCount(now);
  const stop = new AbortController();
  const signal = AbortSignal.any([fill.signal, stop.signal]);
  const running = new Set<Promise<void>>();
  let isOver = false;
  let hasRoom = true;
  let failure: unknown;
  const onBytes = (bytes: number): void => {
    const wanted = count.arrived(bytes);
    while (!isOver && running.size < wanted) begin();
  };
  const work = async (): Promise<void> => {
    try {
      while (!isOver) {
        const sources = new SourceList([source]);
        const piece = await filling.fillPiece({ ...fill, sources, signal, onBytes }, pieceBytes);
        if (piece === 'no-room') hasRoom = false;
        if (piece !== 'filled') isOver = true;
      }
    } catch (error) {
      isOver = true;
      if (error instanceof UpstreamError) return; // one transfer has all the sources, and the time to try again
      failure ??= error;
      stop.abort(error);
    }
  };
  const begin = (): void => {
    const worker = work().finally(() => running.delete(worker));
    running.add(worker);
  };
  begin();
  while (running.size > 0) await Promise.all(running);
  if (failure !== undefined) throw failure;
  return hasRoom;
}

/** A source that is asked where its first redirect led, as long as that is answered. */
class RedirectedSource implements BlobSource {
  readonly upstream: string;
  readonly repository: string;
  readonly #source: BlobSource;
  #target: URL | undefined;

  constructor(source: BlobSource) {
    this.#source = source;
    this.upstream = source.upstream;
    this.repository = source.repository;
  }

  async open(offset: number, options: Parameters<BlobSource['open']>[1]): Promise<OpenedSource> {
    const target = this.#target;
    if (target !== undefined) {
      try {
        return await this.#source.open(offset, { ...options, target });
      } catch (error) {
        options.signal.throwIfAborted();
        if (!(error instanceof UpstreamError)) throw error;
        if (this.#target === target) this.#target = undefined; // signed for a while, or for once
      }
    }
    const opened = await this.#source.open(offset, options);
    this.#target ??= opened.target;
    return opened;
  }
}
