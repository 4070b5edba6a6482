/**
 * One client's closed range of a blob that isn't held: sees to it that its bytes come into the ingest, from the client's
 * own source, and tells the client's follower when they won't. The range goes on when its client leaves, unless nothing
 * is to be finished for nobody.
 */
import type { BlobSource } from '../../registry/registry.ts';
import type { Follower } from '../../store/ingest/follower.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import type { GapFetcher } from './gap-fetcher.ts';
import { SourceList } from './source-list.ts';

export interface RangeRequestOptions {
  readonly ingest: Ingest;
  readonly filling: GapFetcher;
  readonly source: BlobSource;
  /** Half-open; `end` may lie beyond a blob whose size isn't known yet. */
  readonly from: number;
  readonly end: number;
  readonly finish: 'always' | 'never';
  readonly signal: AbortSignal;
  /** All of the blob is on its way: what this range fails to get will come all the same. */
  isWholeWanted(): boolean;
}

export class RangeRequest {
  readonly follower: Follower;
  /** It costs a request, and not only a wait. */
  readonly isMiss: boolean;
  /** Resolves when its bytes are there, or won't come. */
  readonly ended: Promise<void>;
  readonly #options: RangeRequestOptions;
  readonly #leave = new AbortController();
  #hasLeft = false;
  #failure: Error | undefined;

  constructor(options: RangeRequestOptions) {
    const { ingest, filling, from, end } = options;
    this.#options = options;
    this.follower = ingest.follow();
    this.isMiss = filling.isMissing(from, end);
    this.ended = this.#run();
  }

  /**
   * Resolves when headers may go out: the size is as known as it will be, and a source has answered or the first bytes are
   * here. Errors: why they don't come.
   */
  async ready(): Promise<void> {
    const { ingest, filling, from, isWholeWanted } = this.#options;
    for (;;) {
      if (ingest.readableFrom(from) > from || ingest.verified) return;
      if (this.#failure !== undefined && !isWholeWanted()) throw this.#failure; // before what it made of the ingest
      if (ingest.failure !== undefined) throw ingest.failure;
      if (filling.answered) return;
      await ingest.nextChange().changed;
    }
  }

  /** Its client has left. Idempotent. */
  leave(): void {
    this.#hasLeft = true;
    if (this.#options.finish === 'never') this.#leave.abort(new Error('the client has left'));
  }

  async #run(): Promise<void> {
    const { ingest, filling, source, from, end, signal, isWholeWanted } = this.#options;
    try {
      const isFilled = await filling.fill({
        from,
        end,
        sources: new SourceList([source]),
        signal: AbortSignal.any([signal, this.#leave.signal]),
        isBackground: () => this.#hasLeft,
      });
      if (isFilled) return;
      this.#failure = ingest.noRoom();
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    }
    if (!isWholeWanted()) this.follower.stop(this.#failure);
    ingest.wake();
  }
}
