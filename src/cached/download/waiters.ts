/**
 * What the clients of one download wait for: the whole blob, or closed ranges of it. The download goes on as long as one of
 * them waits, or has joined it and not said yet for what.
 */
import { Notifier } from '../../lib/wait.ts';
import type { BlobSource, TransferPriority } from '../../registry/registry.ts';
import type { Follower } from '../../store/ingest/follower.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import type { GapFetcher } from './gap-fetcher.ts';
import { SourceList } from './resume.ts';

export class Waiters {
  readonly #changed = new Notifier();
  readonly #ranges = new Set<Promise<void>>();
  #undecided = 0;
  #isWhole = false;
  #isOver = false;

  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** The last client has been served: later ones are too late. */
  get isOver(): boolean {
    return this.#isOver;
  }

  get hasUndecided(): boolean {
    return this.#undecided > 0;
  }

  /** False: too late. Otherwise `leave` follows, once. */
  enter(): boolean {
    if (!this.#isOver) this.#undecided += 1;
    return !this.#isOver;
  }

  leave(): void {
    this.#undecided -= 1;
    this.#changed.ring();
  }

  /** True: the first request for the whole blob. */
  addWhole(): boolean {
    const isFirst = !this.#isWhole;
    this.#isWhole = true;
    this.#changed.ring();
    return isFirst;
  }

  /** `ended` never rejects. */
  addRange(ended: Promise<void>): void {
    const range = ended.finally(() => {
      this.#ranges.delete(range);
      this.#changed.ring();
    });
    this.#ranges.add(range);
  }

  /** Resolves as soon as the whole blob is requested, or (and then it is over) nothing is any more. */
  async decided(): Promise<'whole' | 'nothing'> {
    for (;;) {
      if (this.#isWhole) return 'whole';
      if (this.#undecided === 0 && this.#ranges.size === 0) {
        this.#isOver = true;
        return 'nothing';
      }
      await this.#changed.next().changed;
    }
  }

  /** Resolves when no range is being fetched. */
  async rangesEnded(): Promise<void> {
    await Promise.all(this.#ranges);
  }
}

/** Background, as long as no client waits for it. */
export class DownloadPriority implements TransferPriority {
  readonly #hasClient: () => boolean;
  readonly #watchers = new Set<() => void>();

  constructor(hasClient: () => boolean) {
    this.#hasClient = hasClient;
  }

  get isBackground(): boolean {
    return !this.#hasClient();
  }

  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }

  /** Clients came or left. */
  update(): void {
    for (const onChange of [...this.#watchers]) onChange();
  }
}

/** Whether transfers of one download wait in a queue of this mirror's own: that is no silence of the upstream. */
export class OwnQueue {
  readonly #watchers = new Set<() => void>();
  #waiting = 0;

  get isWaiting(): boolean {
    return this.#waiting > 0;
  }

  report(isWaiting: boolean): void {
    this.#waiting += isWaiting ? 1 : -1;
    for (const onChange of [...this.#watchers]) onChange();
  }

  /** `onChange` is called at each change, until the function it gives is called. */
  watch(onChange: () => void): () => void {
    this.#watchers.add(onChange);
    return () => this.#watchers.delete(onChange);
  }
}

export interface RangeRequestOptions {
  readonly ingest: Ingest;
  readonly fetcher: GapFetcher;
  /** A request for the whole blob among them brings what this range fails to get. */
  readonly waiters: Waiters;
  readonly source: BlobSource;
  /** Half-open; `end` may lie beyond a blob whose size isn't known yet. */
  readonly from: number;
  readonly end: number;
  readonly finish: 'always' | 'never';
  /** Both of the whole download, which may wait for this range. */
  readonly priority: TransferPriority;
  readonly queue: OwnQueue;
  readonly signal: AbortSignal;
}

/**
 * One client's closed range of a blob that isn't held: fetched from the client's own source into the ingest. With `finish:
 * never` the range is aborted when its client disconnects; otherwise it completes.
 */
export class RangeRequest {
  readonly follower: Follower;
  /** It costs a request, and not only a wait. */
  readonly isMiss: boolean;
  readonly #options: RangeRequestOptions;
  readonly #leave = new AbortController();
  #failure: Error | undefined;

  constructor(options: RangeRequestOptions) {
    const { ingest, fetcher, from, end } = options;
    this.#options = options;
    this.follower = ingest.follow();
    this.isMiss = fetcher.isMissing(from, end);
    options.waiters.addRange(this.#fetch());
  }

  /** Why its bytes don't come from its own source. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /**
   * Resolves when headers may go out: a source has answered (the size is known then, if it ever is), or the first bytes are
   * here. Errors: why they don't come.
   */
  async ready(): Promise<void> {
    const { ingest, fetcher, waiters, from } = this.#options;
    for (;;) {
      if (ingest.readableFrom(from) > from || ingest.verified) return;
      if (this.#failure !== undefined && !waiters.isWhole) throw this.#failure; // before what it made of the ingest
      if (ingest.failure !== undefined) throw ingest.failure;
      if (fetcher.answered) return;
      await ingest.change;
    }
  }

  /** Its client has left. Idempotent. */
  leave(): void {
    if (this.#options.finish === 'never') this.#leave.abort(new Error('the client has left'));
  }

  /** Resolves when its bytes are there, or won't come. Never rejects. */
  async #fetch(): Promise<void> {
    const { ingest, fetcher, source, from, end, priority, queue, signal, waiters } = this.#options;
    try {
      const hasRoom = await fetcher.fetch({
        from,
        end,
        sources: new SourceList([source]),
        signal: AbortSignal.any([signal, this.#leave.signal]),
        priority,
        onQueue: isWaiting => queue.report(isWaiting),
      });
      if (hasRoom) return;
      this.#failure = ingest.noRoom();
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    }
    if (!waiters.isWhole) this.follower.stop(this.#failure);
    ingest.wake();
  }
}
