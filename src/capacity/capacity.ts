/**
 * The one place that says whether bytes may be written. At every moment
 *
 *     held blobs + manifests + partials + reservations ≤ limit
 *
 * as long as the limit stands; when it falls (somebody else fills the disk) or a manifest is accounted above it, the
 * evictor starts at once. One evictor runs at a time; reservations that must wait for it are served in order, each as
 * soon as there is room for it, while the eviction goes on behind down to the low watermark.
 *
 * What is held is known only after the scan of the store. Until then a reservation waits a moment for the scan, and then
 * goes by the free disk, and by `max_size` for the reservations alone; nothing is evicted.
 */
import type { Digest } from '../oci/digest.ts';
import { DiskWatch, type DiskWatchOptions } from './disk-watch.ts';
import { Evictor, type EvictorOptions } from './evictor.ts';
import { Ledger, type Wish } from './ledger.ts';
import { computeLimit, describeMinFreeProblem, type Limit, type LimitOptions, minFreeOn } from './limit.ts';
import type { Partial } from './partial-list.ts';
import { PinNotice, type Pins } from './pin-notice.ts';
import { Reservation, type ReservationBooks } from './reservation.ts';
import { ScanGate } from './scan-gate.ts';
import type { Usage } from './usage.ts';
import { WaitingLine } from './waiting-line.ts';

export interface CapacityOptions
  extends LimitOptions,
    Omit<EvictorOptions, 'partials'>,
    Omit<DiskWatchOptions, 'onDiskBytes'> {
  /** 0 … 1: eviction goes on until this share of the limit. */
  readonly lowWatermark: number;
  /** Bytes that running reservations have on disk already. Without it, `min_free` counts them twice: safe, but tight. */
  writtenBytes?(): number;
  readonly pins?: Pins;
}

const scanWaitMs = 1000;
const checkEveryMs = 10_000;
const sampleMaxAgeMs = 1000;
/** What `makeRoom` frees at least, and as a share of what is held; never more than half of it. */
const roomBytes = 16 * 1024 * 1024;
const roomShare = 0.02;

export class Capacity {
  readonly #options: CapacityOptions;
  readonly #ledger: Ledger;
  readonly #evictor: Evictor;
  readonly #disk: DiskWatch;
  readonly #books: ReservationBooks;
  readonly #line: WaitingLine;
  readonly #notice: PinNotice;
  readonly #gate = new ScanGate(scanWaitMs);
  #evicting: Promise<void> | undefined;
  /** `makeRoom` wants the total at or below this. */
  #demandedBytes = Infinity;
  #known = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: CapacityOptions) {
    this.#options = options;
    this.#notice = new PinNotice(options.pins, options.logger);
    this.#ledger = new Ledger(options.lru, options.pins);
    this.#line = new WaitingLine({
      fits: wish => this.#ledger.fits(wish, this.#limit.bytes),
      never: wish => !this.#ledger.couldFit(wish.bytes, this.#limit.bytes),
      grant: wish => this.#ledger.book(wish),
    });
    this.#evictor = new Evictor(this.#evictorOptions(options));
    this.#disk = new DiskWatch({
      freeBytes: () => options.freeBytes(),
      onDiskBytes: () => this.#ledger.heldBytes + (options.writtenBytes?.() ?? 0),
      logger: options.logger,
      now: () => options.now(),
    });
    this.#books = {
      book: bytes => this.#book({ bytes, digest: undefined }),
      unbook: bytes => {
        this.#ledger.reservedBytes -= bytes;
      },
      blobKept: (digest, size) => {
        this.#ledger.keepBlob(digest, size);
        void this.enforce();
      },
      partialKept: (digest, bytes) => this.#ledger.partials.set({ digest, bytes, lastUseMs: options.now() }),
      makeRoom: () => this.#makeRoom(),
    };
  }

  /** First look at the disk, then one every 10 s. */
  async start(): Promise<void> {
    this.#timer ??= setInterval(() => void this.enforce(), checkEveryMs).unref();
    await this.#disk.refresh(0);
    const { logger, minFreeBytes } = this.#options;
    const problem = describeMinFreeProblem(minFreeBytes, this.#disk.sample?.total ?? Infinity);
    if (problem !== undefined) logger.warn(problem);
  }

  /** Idempotent. Those who wait get no room; the removal under way is finished. */
  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#gate.open();
    await this.#evicting;
  }

  /** The store was scanned: the index and `account` hold everything that is there. */
  async scanned(): Promise<void> {
    await this.#disk.refresh(0);
    this.#known = true;
    this.#gate.open();
    await this.enforce();
  }

  /** What a sweep found. Those being filled, or known already, are passed over. */
  addPartials(partials: readonly Partial[]): void {
    for (const partial of partials) {
      if (!this.#options.isActive(partial.digest) && !this.#ledger.partials.has(partial.digest))
        this.#ledger.partials.set(partial);
    }
  }

  /** Manifests were written (or, negative, removed): bytes that are never evicted, but counted. */
  account(bytes: number): void {
    this.#ledger.manifestBytes += bytes;
    if (this.#ledger.totalBytes > this.#limit.bytes) void this.enforce();
  }

  /**
   * Room for `bytes` more. With a `digest`, a partial of it stops counting by itself: its bytes are part of these.
   * Undefined: no room, though everything was evicted that could be; or `bytes` can't fit at all, and nothing was.
   */
  async reserve(bytes: number, digest?: Digest): Promise<Reservation | undefined> {
    return (await this.#book({ bytes, digest })) ? new Reservation(bytes, this.#books) : undefined;
  }

  usage(): Usage {
    const limit = this.#limit;
    return {
      heldBytes: this.#ledger.heldBytes,
      partialBytes: this.#ledger.partials.bytes,
      reservedBytes: this.#ledger.reservedBytes,
      limitBytes: limit.bytes,
      limitReason: limit.reason,
      freeBytes: this.#disk.sample?.free,
      blobs: this.#options.lru.count,
      known: this.#known,
    };
  }

  /** Looks at the disk and, above the limit, evicts down to the low watermark. Resolves when that is done; never throws. */
  async enforce(): Promise<void> {
    await this.#disk.refresh(0);
    if (this.#closed || !this.#known) return;
    if (this.#ledger.totalBytes > this.#limit.bytes) await this.#evict();
    else await this.#evicting;
  }

  get #waitingBytes(): number {
    return this.#ledger.costOf(this.#line.wishes);
  }

  get #limit(): Limit {
    return computeLimit(this.#options, this.#disk.sample);
  }

  async #book(wish: Wish): Promise<boolean> {
    if (!this.#known) await this.#gate.pass();
    await this.#disk.refresh(this.#known ? sampleMaxAgeMs : 0);
    if (this.#closed) return false;
    if (!this.#known) return this.#fitsFreeDisk(wish) && this.#grant(wish);
    if (this.#line.isEmpty && this.#ledger.fits(wish, this.#limit.bytes)) return this.#grant(wish);
    const wantedBytes = wish.bytes + this.#waitingBytes;
    if (!this.#ledger.couldFit(wantedBytes, this.#limit.bytes)) {
      return this.#notice.noRoom(this.#ledger.fixedBytes + wantedBytes, this.#limit.bytes);
    }
    const granted = this.#line.join(wish);
    void this.#evict();
    return granted;
  }

  /** Between a question for room and this, nothing is awaited: that is what keeps the sum below the limit. */
  #grant(wish: Wish): true {
    this.#ledger.book(wish);
    return true;
  }

  /** Before the scan. What can't be kept later isn't begun: evictions don't help against it. */
  #fitsFreeDisk(wish: Wish): boolean {
    const { maxBytes } = this.#options;
    if (maxBytes > 0 && !this.#ledger.couldFit(wish.bytes, maxBytes)) return false;
    const sample = this.#disk.sample;
    if (sample === undefined) return true; // the write will tell
    const unwritten = Math.max(0, this.#ledger.reservedBytes - (this.#options.writtenBytes?.() ?? 0));
    return wish.bytes + unwritten <= sample.free - minFreeOn(sample.total, this.#options.minFreeBytes);
  }

  async #makeRoom(): Promise<boolean> {
    const before = this.#evictor.removedBytes;
    const held = this.#ledger.evictableBytes;
    const wanted = Math.min(Math.max(roomBytes, held * roomShare), held / 2);
    this.#demandedBytes = Math.min(this.#demandedBytes, this.#ledger.totalBytes - wanted);
    await this.#evict();
    await this.#disk.refresh(0);
    return this.#evictor.removedBytes > before;
  }

  /** Joins the eviction that runs, which then goes on until everybody has what they want. */
  #evict(): Promise<void> {
    this.#evicting ??= this.#evictDown();
    return this.#evicting;
  }

  async #evictDown(): Promise<void> {
    let goesOn = true;
    while (goesOn && !this.#closed) {
      goesOn = await this.#evictor.run(() => this.#isEnough());
      if (goesOn) goesOn = !this.#isEnough() || !this.#line.isEmpty; // somebody came at the last moment
    }
    this.#line.dismiss();
    this.#demandedBytes = Infinity;
    this.#evicting = undefined;
  }

  #isEnough(): boolean {
    this.#line.serve();
    return this.#closed || this.#ledger.totalBytes + this.#waitingBytes <= this.#goalBytes;
  }

  /** The low watermark; where what can't be evicted is above it already, the limit, so that the rest isn't lost in vain. */
  get #goalBytes(): number {
    const limit = this.#limit.bytes;
    const low = Math.floor(limit * this.#options.lowWatermark);
    const fixed = this.#ledger.fixedBytes + this.#waitingBytes;
    return Math.min(fixed <= low ? low : limit, this.#demandedBytes);
  }

  #evictorOptions(options: CapacityOptions): EvictorOptions {
    return {
      lru: options.lru,
      partials: this.#ledger.partials,
      observer: options.observer,
      logger: options.logger,
      unlinkBlob: digest => options.unlinkBlob(digest),
      unlinkPartial: digest => options.unlinkPartial(digest),
      mayEvict: digest => options.mayEvict(digest),
      isActive: digest => options.isActive(digest) || this.#line.wishes.some(wish => wish.digest === digest),
      now: () => options.now(),
    };
  }
}
