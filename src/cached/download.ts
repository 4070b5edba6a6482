/**
 * One upstream transfer of one blob into one ingest, whoever waits for it. It starts with the first client and ends with
 * the content, not with the clients; later clients join it, and bring their repository's source along.
 *
 * Guarantees: never two downloads of one digest (the table of `downloads.ts`); bytes that turned out wrong are dropped
 * and asked for again while somebody who has seen none of them waits or a source is untried; without room the transfer
 * under way is handed to a client rather than thrown away. `run` never throws: every failure is the followers' to see.
 */
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { UpstreamError } from '../registry/upstream-error.ts';
import { verifyFirstBytes } from '../store/hold-back.ts';
import type { Ingest } from '../store/ingest.ts';
import { MismatchError } from '../store/ingest-error.ts';
import { StoreError } from '../store/store-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import { Leftover, type Transfer } from './leftover.ts';
import { ReservedRoom } from './reserved-room.ts';
import { resumeTransfer } from './resume.ts';
import type { ByteReservation } from './room.ts';
import type { SourceList } from './source-list.ts';

export interface TransferPolicy {
  readonly stallMs: number;
  readonly giveUpMs: number;
}

export interface DownloadOptions {
  readonly digest: Digest;
  /** From a descriptor that the repository's manifests name; a source of another length is not read. */
  readonly expectedSize: number | undefined;
  readonly sources: SourceList;
  readonly policy: TransferPolicy;
  /** `never`: the transfer ends with its last client; the partial is kept. */
  readonly finish: 'always' | 'never';
  readonly observer: Observer;
  readonly logger: Logger;
  /** Aborted at shutdown, after the drain: the partial is kept. */
  readonly signal: AbortSignal;
  now(): number;
  isHeld(): Promise<boolean>;
  reserve(bytes: number): Promise<ByteReservation | undefined>;
  openIngest(onFollowers: (count: number) => void): Promise<Ingest>;
  onMismatch(): void;
}

/** `held`: it came meanwhile; `no-room`: to be read without storing it. */
export type Opened = Ingest | 'held' | 'no-room';

export class Download {
  readonly opened: Promise<Opened>;
  readonly #options: DownloadOptions;
  readonly #resolveOpened: (opened: Opened) => void;
  readonly #upstream: string;
  readonly #room: ReservedRoom;
  #ingest: Ingest | undefined;
  #answered = false;
  /** The first open comes before the first follower: somebody waits for it all the same. */
  #wasFollowed = false;
  readonly #abandon = new AbortController();
  readonly #leftover = new Leftover(() => this.#abandon.abort());

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
    return this.#abandon.signal.aborted;
  }

  /** The transfer that met a full store, with its first bytes: for one client, once. */
  takeLeftover(): Transfer | undefined {
    return this.#leftover.take();
  }

  /**
   * Resolves when headers may go out: the size is as known as it will be, and a small blob is verified.
   * Errors: what ended the download before that.
   */
  async ready(ingest: Ingest): Promise<void> {
    for (;;) {
      if (ingest.verified) return;
      if (ingest.failure !== undefined) throw ingest.failure;
      if (this.#answered && (ingest.size ?? ingest.front) > verifyFirstBytes) return;
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
      this.#room.release();
      observer.downloadEnded(this.#upstream);
      await this.#ingest?.release().catch(error => logger.warn('a partial did not close', { digest, error }));
      if (this.#ingest?.followers === 0) this.#leftover.drop();
    }
  }

  async #run(): Promise<void> {
    const { expectedSize, logger, digest } = this.#options;
    if (await this.#options.isHeld()) return this.#resolveOpened('held');
    if (expectedSize !== undefined) {
      if (!(await this.#room.take(expectedSize, expectedSize))) return this.#resolveOpened('no-room');
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
    this.#resolveOpened(ingest);
    try {
      await this.#fill(ingest);
    } catch (error) {
      await this.#end(ingest, error);
    }
  }

  /** Transfers, verifies and commits; from zero again while a good answer may still come. */
  async #fill(ingest: Ingest): Promise<void> {
    const { digest, expectedSize, sources, observer, logger } = this.#options;
    for (let tries = 1; ; tries += 1) {
      if (!(await this.#transfer(ingest))) return ingest.overflow();
      const size = ingest.size ?? ingest.gapFrom(0).start;
      ingest.setSize(size);
      // a partial that was whole, and a blob without a byte, have asked for none yet
      if (!(await this.#room.take(size, size))) return ingest.overflow();
      await ingest.journalAll();
      if (await ingest.verify()) break;
      observer.digestMismatch(sources.current().upstream);
      this.#options.onMismatch();
      const untouched = ingest.hasUntouchedFollower || (ingest.size ?? 0) <= verifyFirstBytes;
      logger.warn('wrong bytes from the upstream', { digest, upstream: sources.current().upstream, tries });
      if (tries >= 2 * sources.count || !(untouched || tries < sources.count))
        throw new MismatchError(digest);
      sources.next();
      await ingest.restart();
      if (expectedSize !== undefined) ingest.setSize(expectedSize);
    }
    await ingest.commit();
    this.#room.settle(ingest.size ?? ingest.front);
  }

  /** False: no room; what came so far is on disk, the rest is the followers' own business. */
  async #transfer(ingest: Ingest): Promise<boolean> {
    const { sources, observer, policy, now } = this.#options;
    const gap = ingest.gapFrom(0).start;
    if (gap > 0 && gap === ingest.size) return true; // a full partial asks nobody
    const signal = AbortSignal.any([this.#options.signal, this.#abandon.signal]);
    const chunks = resumeTransfer({
      sources,
      from: gap,
      expectedSize: ingest.size,
      stallMs: policy.stallMs,
      giveUpMs: policy.giveUpMs,
      signal,
      observer,
      now,
      isBackground: () => this.#wasFollowed && ingest.followers === 0,
      onOpened: (_source, size) => {
        this.#answered = true;
        if (size !== undefined) ingest.setSize(size);
      },
    });
    try {
      for (;;) {
        const { done, value } = await chunks.next();
        if (done === true) return true;
        if (!(await this.#room.take(value.at + value.bytes.length, ingest.size))) {
          if (value.at === 0) this.#leftover.offer(value, chunks);
          return false;
        }
        if (!(await this.#room.write(ingest, value))) return false;
        if (ingest.failure !== undefined) throw ingest.failure; // reading back failed: the rest is of no use
      }
    } finally {
      if (!this.#leftover.isOffered) await chunks.return();
    }
  }

  async #end(ingest: Ingest, error: unknown): Promise<void> {
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
    if (this.#leftover.isOffered) {
      if (this.#ingest?.failure !== undefined) this.#leftover.drop();
    } else if (this.#options.finish === 'never') {
      this.#abandon.abort(new Error('the last client has left'));
    }
  }
}
