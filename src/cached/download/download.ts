/**
 * Everything that is fetched of one blob into one ingest, whoever waits for it: all of it, or closed ranges of it until
 * somebody wants it all. It starts with the first client; a download of all of it ends with the content, not with the
 * clients; one of ranges ends with them, and leaves a partial. Later clients join, and bring their repository's source.
 *
 * Guarantees: never two downloads of one digest (the table of `downloads.ts`); bytes that turned out wrong are dropped
 * and asked for again while somebody who has seen none of them waits or a source is untried; without room the transfer
 * under way is handed to a client rather than thrown away. `run` never throws: every failure is the followers' to see.
 */
import { RegistryError } from '../../oci/error.ts';
import type { BlobSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import { verifyFirstBytes } from '../../store/ingest/release-policy.ts';
import { MismatchError, StoreError } from '../../store/store-error.ts';
import { complete } from './completion.ts';
import type { DownloadOptions } from './download-options.ts';
import { type Fill, GapFetcher } from './gap-fetcher.ts';
import { RangeRequest } from './range-request.ts';
import { ReservedRoom } from './reserved-room.ts';
import type { SourceList } from './source-list.ts';
import { type Transfer, TransferHandoff } from './transfer-handoff.ts';
import { Waiters } from './waiters.ts';

/** `held`: it came meanwhile; `no-room`: to be read without storing it. */
export type Opened = Ingest | 'held' | 'no-room';

export class Download {
  readonly opened: Promise<Opened>;
  readonly #options: DownloadOptions;
  readonly #resolveOpened: (opened: Opened) => void;
  readonly #upstream: string;
  readonly #room: ReservedRoom;
  readonly #wants = new Waiters();
  #ingest: Ingest | undefined;
  #filling: GapFetcher | undefined;
  /** The first open comes before the first follower: somebody waits for it all the same. */
  #wasFollowed = false;
  readonly #abandon = new AbortController();
  /** Ends ranges that are being fetched when the download ends by itself. */
  readonly #end = new AbortController();
  readonly #leftover = new TransferHandoff(() => this.#abandon.abort());

  constructor(options: DownloadOptions) {
    this.#options = options;
    this.#room = new ReservedRoom(options);
    this.#upstream = options.sources.current().upstream;
    let resolveOpened: (opened: Opened) => void = () => {};
    this.opened = new Promise(resolve => {
      resolveOpened = resolve;
    });
    this.#resolveOpened = resolveOpened;
  }

  /** On disk so far. */
  get heldBytes(): number {
    return this.#ingest?.heldBytes ?? 0;
  }

  get isVerified(): boolean {
    return this.#ingest?.verified ?? false;
  }

  get sources(): SourceList {
    return this.#options.sources;
  }

  /** What its sources are held to, whatever the truth. Bytes. */
  get expectedSize(): number | undefined {
    return this.#options.expectedSize;
  }

  /** It is ending for want of clients: who comes now waits for its end and starts another. */
  get isAbandoned(): boolean {
    return this.#abandon.signal.aborted || this.#wants.isOver;
  }

  /** Keeps it from ending for want of clients, until `leave`. False: it is ending already. */
  enter(): boolean {
    return !this.#abandon.signal.aborted && this.#wants.enter();
  }

  leave(): void {
    this.#wants.leave();
    this.#endIfLeft();
  }

  /** All of it, then. True: nobody has wanted that before. */
  wantWhole(): boolean {
    return this.#wants.addWhole();
  }

  /** A closed range, half-open, for a client who has entered. Undefined: nothing was opened. */
  wantRange(from: number, end: number, source: BlobSource): RangeRequest | undefined {
    const [ingest, filling] = [this.#ingest, this.#filling];
    if (ingest === undefined || filling === undefined) return undefined;
    const { finish, signal } = this.#options;
    const demand = new RangeRequest({
      ingest,
      filling,
      source,
      from,
      end,
      finish,
      signal: AbortSignal.any([signal, this.#abandon.signal, this.#end.signal]),
      isWholeWanted: () => this.#wants.isWhole,
    });
    this.#wants.addRange(demand.ended);
    return demand;
  }

  /** The transfer that met a full store, with its first bytes: for one client, once. */
  takeLeftover(): Transfer | undefined {
    return this.#leftover.take();
  }

  /**
   * Resolves when headers of a body that reaches the blob's end may go out: the size is as known as it will be, and a
   * small blob is verified. Errors: what ended the download before that.
   */
  async ready(ingest: Ingest): Promise<void> {
    for (;;) {
      if (ingest.verified) return;
      if (ingest.failure !== undefined) throw ingest.failure;
      if (this.#filling?.answered && (ingest.size ?? ingest.front) > verifyFirstBytes) return;
      await ingest.nextChange().changed;
    }
  }

  async run(): Promise<void> {
    const { observer, logger, digest } = this.#options;
    observer.downloadStarted(this.#upstream);
    try {
      await this.#run();
    } catch (error) {
      logger.error('download failed unexpectedly', { digest, error });
      await this.#ingest?.suspend(error instanceof Error ? error : new Error(String(error)));
      this.#room.keepPartial(this.heldBytes);
      this.#resolveOpened('no-room');
    } finally {
      this.#end.abort(this.#ingest?.failure ?? new Error('the download is over'));
      await this.#wants.rangesEnded();
      this.#room.release();
      observer.downloadEnded(this.#upstream);
      await this.#ingest?.release().catch(error => logger.warn('a partial did not close', { digest, error }));
      if (this.#ingest?.followers === 0) this.#leftover.drop();
    }
  }

  async #run(): Promise<void> {
    const { expectedSize, logger, digest, policy, observer, now } = this.#options;
    if (await this.#options.isHeld()) return this.#resolveOpened('held');
    if (expectedSize !== undefined && this.#wants.isWhole) {
      if (!(await this.#room.take(expectedSize, true))) return this.#resolveOpened('no-room');
    }
    let ingest: Ingest;
    try {
      ingest = await this.#options.openIngest(count => this.#followersChanged(count));
    } catch (error) {
      logger.warn('the store takes no new blob, passing it through', { digest, error });
      return this.#resolveOpened('no-room');
    }
    this.#ingest = ingest;
    if (expectedSize !== undefined) {
      if (ingest.size !== undefined && ingest.size !== expectedSize) await ingest.restart();
      ingest.setSize(expectedSize);
    }
    const onWhole = () => void this.wantWhole();
    const filling = new GapFetcher({ ingest, room: this.#room, policy, observer, now, onWhole });
    this.#filling = filling;
    this.#resolveOpened(ingest);
    try {
      if ((await this.#wants.decided()) === 'whole') await this.#complete(ingest, filling);
      else await this.#keep(ingest, filling);
    } catch (error) {
      await this.#fail(ingest, error);
    }
  }

  #complete(ingest: Ingest, filling: GapFetcher): Promise<void> {
    const fill: Fill = {
      from: 0,
      end: Number.POSITIVE_INFINITY,
      sources: this.#options.sources,
      signal: AbortSignal.any([this.#options.signal, this.#abandon.signal]),
      isBackground: () => this.#wasFollowed && ingest.followers === 0,
      onLeftover: (first, rest) => this.#leftover.offer(first, rest),
    };
    return complete({ ...this.#options, ingest, filling, fill, room: this.#room });
  }

  /** Its ranges are there, or can't be had: what came stays for the next ask. */
  async #keep(ingest: Ingest, filling: GapFetcher): Promise<void> {
    const reason = new Error('nobody wants more of it for now');
    if (ingest.heldBytes === 0 || filling.isContradicted) return ingest.discard(reason);
    await ingest.pause(reason);
    this.#room.keepPartial(ingest.heldBytes);
  }

  async #fail(ingest: Ingest, error: unknown): Promise<void> {
    const reason = error instanceof Error ? error : new Error(String(error));
    const { digest, logger } = this.#options;
    const otherBlob = reason instanceof UpstreamError && reason.failure === 'mismatch';
    const wrong = otherBlob || reason instanceof MismatchError;
    if (wrong) this.#options.onMismatch(); // also for a wrong length: a head may be out
    if (wrong || reason instanceof StoreError || ingest.heldBytes === 0) {
      await ingest.discard(reason);
    } else {
      await ingest.suspend(reason);
      this.#room.keepPartial(ingest.heldBytes);
    }
    const { front, size } = ingest;
    const told = reason instanceof RegistryError ? reason.message : reason;
    logger.warn('download ended without its blob', { digest, front, size, error: told });
  }

  #followersChanged(count: number): void {
    this.#wasFollowed = true;
    if (count > 0) return;
    if (this.#leftover.isOffered && this.#ingest?.failure !== undefined) this.#leftover.drop();
    this.#endIfLeft();
  }

  /** A client that changes from its range to the whole has no follower for a moment, but is here. */
  #endIfLeft(): void {
    if (this.#options.finish === 'always' || this.#leftover.isOffered || this.#wants.hasVisitors) return;
    if (!this.#wasFollowed || this.#ingest?.followers !== 0) return;
    this.#abandon.abort(new Error('the last client has left'));
  }
}
