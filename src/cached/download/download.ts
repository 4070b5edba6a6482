/**
 * The one download of a blob into one ingest, shared by all clients: the whole blob, or closed ranges until a client needs
 * the whole. A whole one ends with the blob, one of ranges with its clients. `run` never throws: followers see the failure.
 */
import type { Room } from '../../capacity/room.ts';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { BlobSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import { verifyFirstBytes } from '../../store/ingest/follower.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import { MismatchError, StoreError } from '../../store/store-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Observer } from '../../telemetry/observer.ts';
import { type FetchRequest, GapFetcher } from './gap-fetcher.ts';
import { ParallelTransfer } from './parallel-transfer.ts';
import { ReservedRoom, type Transfer, TransferHandoff } from './reserved-room.ts';
import type { SourceList, TransferPolicy } from './resume.ts';
import { DownloadPriority, OwnQueue, RangeRequest, Waiters } from './waiters.ts';

/** Less than that, or from a source that is nearer, comes as fast by one transfer. */
const minSeveralBytes = 32 * 1024 * 1024;
const minRoundTripMs = 5;

export interface DownloadOptions {
  readonly digest: Digest;
  /** From a descriptor in the repository's manifests; a source of another length is not read. */
  readonly expectedSize: number | undefined;
  readonly sources: SourceList;
  readonly policy: TransferPolicy;
  readonly room: Pick<Room, 'reserve' | 'couldHold'>;
  /** `never`: the transfer ends with its last client; the partial is kept. */
  readonly finish: 'always' | 'never';
  readonly observer: Observer;
  readonly logger: Logger;
  /** Aborted at shutdown, after the drain: the partial is kept. */
  readonly signal: AbortSignal;
  now(): number;
  isHeld(): Promise<boolean>;
  openIngest(onFollowers: (count: number) => void): Promise<Ingest>;
  onMismatch(): void;
}

/** `held`: the blob came meanwhile; `no-room`: it is to be read without storing it. */
export type Opened = Ingest | 'held' | 'no-room';

export class Download {
  readonly sources: SourceList;
  /** The size that its sources must have, right or wrong. Bytes. */
  readonly expectedSize: number | undefined;
  readonly #options: DownloadOptions;
  readonly #room: ReservedRoom;
  readonly #waiters = new Waiters();
  #resolveOpened: (opened: Opened) => void = () => {};
  readonly opened = new Promise<Opened>(resolve => {
    this.#resolveOpened = resolve;
  });
  #ingest: Ingest | undefined;
  #fetcher: GapFetcher | undefined;
  /** Before its first client has followed or left it, a download counts as live: that client waits for it to open. */
  #hadClient = false;
  /** A client that has not said yet what it waits for counts, and one that took the transfer over. */
  readonly #priority = new DownloadPriority(
    () =>
      !this.#hadClient ||
      this.#ingest?.followers !== 0 ||
      this.#waiters.hasUndecided ||
      this.#handoff.isOffered,
  );
  /** Of all its transfers. */
  readonly queue = new OwnQueue();
  readonly #abandon = new AbortController();
  /** Ends ranges that are being fetched when the download ends by itself. */
  readonly #end = new AbortController();
  readonly #handoff = new TransferHandoff(() => this.#abandon.abort());

  constructor(options: DownloadOptions) {
    this.sources = options.sources;
    this.expectedSize = options.expectedSize;
    this.#options = options;
    this.#room = new ReservedRoom(options);
  }

  /** On disk so far. */
  get heldBytes(): number {
    return this.#ingest?.heldBytes ?? 0;
  }

  get isVerified(): boolean {
    return this.#ingest?.verified ?? false;
  }

  /** It is ending for want of clients: a new client waits for its end and starts another. */
  get isAbandoned(): boolean {
    return this.#abandon.signal.aborted || this.#waiters.isOver;
  }

  /** Keeps it from ending for want of clients, until `leave`. False: it is ending already. */
  enter(): boolean {
    const hasEntered = !this.#abandon.signal.aborted && this.#waiters.enter();
    this.#priority.update();
    return hasEntered;
  }

  leave(): void {
    this.#waiters.leave();
    this.#hadClient = true;
    this.#priority.update();
    this.#endIfUnused();
  }

  /** True: the first request for the whole blob. */
  requestWhole(): boolean {
    return this.#waiters.addWhole();
  }

  /** A closed range, half-open, for a client who has entered. Undefined: nothing was opened. */
  requestRange(from: number, end: number, source: BlobSource): RangeRequest | undefined {
    const [ingest, fetcher, waiters] = [this.#ingest, this.#fetcher, this.#waiters];
    if (ingest === undefined || fetcher === undefined) return undefined;
    const { finish } = this.#options;
    const signal = AbortSignal.any([this.#options.signal, this.#abandon.signal, this.#end.signal]);
    const shared = { ingest, fetcher, waiters, priority: this.#priority, queue: this.queue };
    return new RangeRequest({ ...shared, source, from, end, finish, signal });
  }

  /** The transfer that met a full store, with its first bytes: for one client, once. */
  takeHandoff(): Transfer | undefined {
    return this.#handoff.take();
  }

  /** Resolves when headers may go out: a source has answered, a small blob is verified. Errors: why they may not. */
  async ready(ingest: Ingest): Promise<void> {
    for (;;) {
      if (ingest.verified) return;
      if (ingest.failure !== undefined) throw ingest.failure;
      if (this.#fetcher?.answered && (ingest.size ?? ingest.front) > verifyFirstBytes) return;
      await ingest.change;
    }
  }

  async run(): Promise<void> {
    const { observer, logger, digest } = this.#options;
    const { upstream } = this.sources.current();
    observer.downloadStarted(upstream, digest);
    try {
      await this.#run();
    } catch (error) {
      logger.error('download failed unexpectedly', { digest, error });
      await this.#ingest?.suspend(error instanceof Error ? error : new Error(String(error)));
      this.#room.keepPartial(this.heldBytes);
      this.#resolveOpened('no-room');
    } finally {
      this.#end.abort(this.#ingest?.failure ?? new Error('the download is over'));
      await this.#waiters.rangesEnded();
      this.#room.release();
      observer.downloadEnded(upstream);
      await this.#ingest
        ?.release()
        .catch(error => logger.warn('closing a partial failed', { digest, error }));
      if (this.#ingest?.followers === 0) this.#handoff.drop();
    }
  }

  async #run(): Promise<void> {
    const { expectedSize, logger, digest, policy, observer, now } = this.#options;
    if (await this.#options.isHeld()) return this.#resolveOpened('held');
    const opening = this.#options.openIngest(count => this.#followersChanged(count));
    const ingest = await opening.catch(
      error => void logger.warn('opening a partial failed, passing the blob through', { digest, error }),
    );
    if (ingest === undefined) return this.#resolveOpened('no-room');
    this.#ingest = ingest;
    if (expectedSize !== undefined) {
      if (ingest.size !== undefined && ingest.size !== expectedSize) await ingest.restart();
      ingest.setSize(expectedSize);
    }
    const onWhole = () => void this.requestWhole();
    const fetcher = new GapFetcher({ ingest, room: this.#room, policy, observer, now, onWhole });
    this.#fetcher = fetcher;
    this.#resolveOpened(ingest);
    try {
      if ((await this.#waiters.decided()) === 'whole') await this.#complete(ingest, fetcher);
      else await this.#pause(ingest, fetcher);
    } catch (error) {
      await this.#fail(ingest, error);
    }
  }

  /**
   * Fetches what is missing, verifies, commits. After wrong bytes it starts over while a follower has seen none of them or a
   * source is untried. Without room the followers go on by themselves. Errors: UpstreamError, MismatchError, StoreError.
   */
  async #complete(ingest: Ingest, fetcher: GapFetcher): Promise<void> {
    const { digest, expectedSize, sources, observer, logger, now } = this.#options;
    const request: FetchRequest = {
      from: 0,
      end: Number.POSITIVE_INFINITY,
      sources,
      signal: AbortSignal.any([this.#options.signal, this.#abandon.signal]),
      priority: this.#priority,
      onQueue: isWaiting => this.queue.report(isWaiting),
      onHandoff: (first, rest) => this.#handoff.offer(first, rest),
    };
    let hasEarlierBytes = ingest.heldBytes > 0;
    ingest.hashFront();
    for (let tries = 1; ; tries += 1) {
      const missingBytes = (ingest.size ?? 0) - ingest.heldBytes;
      const isSeveral = isWorthSeveral(sources.current(), missingBytes);
      const hasRoom = !isSeveral || (await new ParallelTransfer(fetcher, request, missingBytes, now).run());
      if (!hasRoom || !(await fetcher.fetch(request))) return ingest.overflow();
      if (!(await this.#room.flush(ingest))) return ingest.overflow();
      const size = ingest.size ?? ingest.gapFrom(0).start;
      ingest.setSize(size);
      // a partial that was whole, and a blob without a byte, have taken no room yet
      if (!(await this.#room.take(size, size))) return ingest.overflow();
      await ingest.journalAll();
      if (await ingest.verify()) break;
      this.#options.onMismatch();
      if (hasEarlierBytes) {
        // The disk had them before this download began: no source is to blame, and none loses a try.
        hasEarlierBytes = false;
        tries -= 1;
        observer.storeError('verify');
        logger.warn('a partial was damaged on disk, starting over', { digest });
        await ingest.restart();
        if (expectedSize !== undefined) ingest.setSize(expectedSize);
        continue;
      }
      const { upstream } = sources.current();
      observer.digestMismatch(upstream);
      const mayRepeat = tries < sources.count || ingest.hasUntouchedFollower || size <= verifyFirstBytes;
      logger.warn('digest mismatch', { digest, upstream, tries });
      if (tries >= 2 * sources.count || !mayRepeat) throw new MismatchError(digest);
      sources.next();
      await ingest.restart();
      if (expectedSize !== undefined) ingest.setSize(expectedSize);
    }
    await ingest.commit();
    this.#room.settle(ingest.size ?? ingest.front);
  }

  /** Its ranges are there, or can't be had: what came stays for the next request. */
  async #pause(ingest: Ingest, fetcher: GapFetcher): Promise<void> {
    const reason = new Error('the download has no client left');
    if (ingest.heldBytes === 0 || fetcher.isContradicted) return ingest.discard(reason);
    await ingest.pause(reason);
    this.#room.keepPartial(ingest.heldBytes);
  }

  async #fail(ingest: Ingest, error: unknown): Promise<void> {
    const reason = error instanceof Error ? error : new Error(String(error));
    const { digest, logger } = this.#options;
    const isOtherBlob = reason instanceof UpstreamError && reason.failure === 'mismatch';
    const isWrong = isOtherBlob || reason instanceof MismatchError;
    if (isWrong) this.#options.onMismatch(); // also for a wrong length: a client may have the first bytes
    if (isWrong || reason instanceof StoreError || ingest.heldBytes === 0) {
      await ingest.discard(reason);
    } else {
      await ingest.suspend(reason);
      this.#room.keepPartial(ingest.heldBytes);
    }
    const told = reason instanceof RegistryError ? reason.message : reason;
    logger.warn('download failed', { digest, front: ingest.front, size: ingest.size, error: told });
  }

  #followersChanged(count: number): void {
    this.#hadClient = true;
    this.#priority.update();
    if (count > 0) return;
    if (this.#handoff.isOffered && this.#ingest?.failure !== undefined) this.#handoff.drop();
    this.#endIfUnused();
  }

  /** A client that changes from its range to the whole has no follower for a moment, but is still here. */
  #endIfUnused(): void {
    if (this.#options.finish === 'always' || this.#handoff.isOffered || this.#waiters.hasUndecided) return;
    if (!this.#hadClient || this.#ingest?.followers !== 0) return;
    this.#abandon.abort(new Error('the last client has left'));
  }
}

/** Whether several transfers at once (parallel-transfer.ts) may bring what is missing. */
function isWorthSeveral(source: BlobSource, missingBytes: number): boolean {
  const isFar = (source.roundTripMs?.() ?? 0) >= minRoundTripMs;
  return missingBytes >= minSeveralBytes && isFar && source.parallel !== false;
}
