/**
 * Decides whether bytes may be written. At every moment
 *
 *     held blobs + manifests + records + partials + reservations ≤ limit
 *
 * unless the limit falls (other data fills the disk) or a manifest exceeds it: then an eviction starts at once. One eviction
 * runs at a time. It serves waiting requests in order, each as soon as it fits, and goes on down to the low watermark.
 *
 * Before the scan of the store ends, a request waits a moment for it, and then goes by the free disk, and by `max_size` for
 * the reservations alone; nothing is evicted.
 */
import type { Digest } from '../oci/digest.ts';
import { Evictor, type EvictorOptions } from './evictor.ts';
import {
  computeLimit,
  DiskWatch,
  describeMinFreeProblem,
  diskLimit,
  Ledger,
  type Limit,
  type LimitOptions,
  minFreeOn,
  type Partial,
  type Pins,
  type RoomRequest,
  type Usage,
} from './ledger.ts';
import {
  BookedReservation,
  type Reservation,
  type ReservationBooks,
  type Room,
  RoomQueue,
  restOf,
  ScanGate,
  type WholeSize,
} from './room.ts';
import { UploadRoom } from './upload-room.ts';

export interface CapacityOptions extends LimitOptions, EvictorOptions {
  /** 0 … 1: an eviction goes on until this share of the limit. */
  readonly lowWatermark: number;
  readonly pins?: Pins;
}

const scanWaitMs = 1000;
const checkEveryMs = 10_000;
const sampleMaxAgeMs = 1000;
/** `makeRoom` frees at least so many bytes and such a share of what is held, but never more than half of it. */
const roomBytes = 16 * 1024 * 1024;
const roomShare = 0.02;
const unknownFloorMs = 60 * 60_000;

export class Capacity implements Room {
  #options: CapacityOptions;
  readonly #ledger: Ledger;
  readonly #queue: RoomQueue;
  readonly #evictor: Evictor;
  readonly #disk: DiskWatch;
  readonly #books: ReservationBooks;
  readonly #scanGate = new ScanGate(scanWaitMs);
  /** For what is pushed. */
  readonly uploads: UploadRoom;
  #evicting: Promise<void> | undefined;
  /** `makeRoom` wants the total at or below this. */
  #targetBytes = Infinity;
  /** So much of what is evictable stays for bodies without a length. Undefined: none of them has evicted. */
  #unknownFloor: { readonly bytes: number; readonly setAtMs: number } | undefined;
  #isScanned = false;
  #isClosed = false;
  #timer: NodeJS.Timeout | undefined;
  #loggedPinnedBytes = 0;

  constructor(options: CapacityOptions) {
    this.#options = options;
    const { lru, files, pins, logger } = options;
    const ledger = new Ledger(lru, pins, () => files.recordBytes());
    this.#ledger = ledger;
    this.#queue = new RoomQueue(ledger, () => this.#limit.bytes);
    this.#evictor = new Evictor(options, ledger, this.#queue);
    this.#disk = new DiskWatch({
      freeBytes: () => files.disk.freeBytes(),
      onDiskBytes: () => ledger.heldBytes + files.downloads.heldBytes + this.uploads.writtenBytes,
      logger,
      now: () => options.now(),
    });
    this.uploads = new UploadRoom({
      refresh: () => this.#disk.refresh(0),
      diskBytes: () => diskLimit(this.#options, this.#disk.sample),
      cacheBytes: what => (what === 'all' ? ledger.totalBytes : ledger.fixedBytes),
      evict: () => this.enforce(),
      makeRoom: () => this.#makeRoom(),
    });
    this.#books = {
      book: (request, isUnknown) => this.#book(request, isUnknown),
      unbook: (bytes, restBytes) => {
        ledger.reservedBytes -= bytes;
        ledger.promisedBytes -= restBytes;
      },
      keepBlob: (digest, size) => {
        ledger.keepBlob(digest, size);
        void this.enforce();
      },
      keepPartial: (digest, bytes) => ledger.partials.set({ digest, bytes, lastUseMs: options.now() }),
      makeRoom: () => this.#makeRoom(),
    };
  }

  /** Reads the free space of the disk, and again every 10 s. */
  async start(): Promise<void> {
    this.#timer ??= setInterval(() => void this.enforce(), checkEveryMs).unref();
    await this.#disk.refresh(0);
    const { logger, minFreeBytes } = this.#options;
    const problem = describeMinFreeProblem(minFreeBytes, this.#disk.sample?.total ?? Infinity);
    if (problem !== undefined) logger.warn(problem);
  }

  /** Idempotent. Waiting requests get no room; the removal that runs is finished. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    this.#scanGate.open();
    await this.#evicting;
  }

  /** The scan has ended: the index and `account` have everything that the store holds. */
  async scanned(): Promise<void> {
    await this.#disk.refresh(0);
    this.#isScanned = true;
    this.#scanGate.open();
    await this.enforce();
  }

  /** Other limits from now on. */
  limit(limits: LimitOptions & Pick<CapacityOptions, 'lowWatermark'>): void {
    const { maxBytes, minFreeBytes, lowWatermark } = limits;
    this.#options = { ...this.#options, maxBytes, minFreeBytes, lowWatermark };
    void this.enforce();
  }

  /** Partials that a sweep found. Those that a download fills, or that are known, are left out. */
  addPartials(partials: readonly Partial[]): void {
    const { downloads } = this.#options.files;
    for (const partial of partials) {
      if (downloads.isActive(partial.digest) || this.#ledger.partials.has(partial.digest)) continue;
      this.#ledger.partials.set(partial);
    }
  }

  /** Manifests were written (or, negative, removed): they are counted, and go with the last record that names them. */
  account(bytes: number): void {
    this.#ledger.manifestBytes += bytes;
    if (this.#ledger.totalBytes > this.#limit.bytes) void this.enforce();
  }

  async reserve(bytes: number, digest?: Digest, whole?: WholeSize): Promise<Reservation | undefined> {
    const request = { bytes, digest, restBytes: restOf(bytes, whole), formerRestBytes: 0 };
    const isBooked = await this.#book(request, whole === 'unknown');
    return isBooked ? new BookedReservation(request, this.#books) : undefined;
  }

  couldHold(bytes: number): boolean {
    const request = { bytes, digest: undefined, restBytes: 0, formerRestBytes: 0 };
    return this.#ledger.couldFit(request, this.#limit.bytes);
  }

  partialLeft(digest: Digest): void {
    this.#options.files.findPartial(digest).then(
      found => this.addPartials(found === undefined ? [] : [found]),
      error => this.#options.logger.warn('a partial could not be counted', { digest, error }),
    );
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
      known: this.#isScanned,
    };
  }

  /** Reads the disk and, above the limit, evicts down to the low watermark. Resolves when that is done; never throws. */
  async enforce(): Promise<void> {
    await this.#disk.refresh(0);
    if (this.#isClosed || !this.#isScanned) return;
    if (this.#ledger.totalBytes > this.#limit.bytes) await this.#evict();
    else await this.#evicting;
  }

  get #limit(): Limit {
    return computeLimit(this.#options, this.#disk.sample, this.uploads.reservedBytes);
  }

  /** Nothing is awaited between the check that a request fits and its booking: that keeps the sum below the limit. */
  async #book(request: RoomRequest, isUnknown: boolean): Promise<boolean> {
    if (!this.#isScanned) await this.#scanGate.pass();
    await this.#disk.refresh(this.#isScanned ? sampleMaxAgeMs : 0);
    if (this.#isClosed) return false;
    const fits = this.#isScanned
      ? this.#queue.isEmpty && this.#ledger.fits(request, this.#limit.bytes)
      : this.#fitsFreeDisk(request);
    if (fits) this.#ledger.book(request);
    if (fits || !this.#isScanned) return fits;
    return (!isUnknown || this.#mayEvictForUnknown(request)) && this.#waitForRoom(request);
  }

  /**
   * Bodies without a length may be endless: all of them together leave half of what was evictable when the first of them
   * evicted, an hour long.
   */
  #mayEvictForUnknown(request: RoomRequest): boolean {
    const { evictableBytes, totalBytes } = this.#ledger;
    const nowMs = this.#options.now();
    const floor = this.#unknownFloor;
    const isOver = floor === undefined || Math.abs(nowMs - floor.setAtMs) >= unknownFloorMs;
    const { bytes } = isOver ? { bytes: evictableBytes / 2 } : floor;
    if (isOver) this.#unknownFloor = { bytes, setAtMs: nowMs };
    const goal = Math.floor(this.#limit.bytes * this.#options.lowWatermark);
    const evicted = Math.max(0, totalBytes + this.#ledger.cost(request) + this.#queue.bytes - goal);
    return evictableBytes - evicted >= bytes;
  }

  /** False at once when even an empty cache has no room for it. */
  async #waitForRoom(request: RoomRequest): Promise<boolean> {
    const limitBytes = this.#limit.bytes;
    if (!this.#ledger.couldFit(request, limitBytes, this.#queue.bytes)) {
      const wantedBytes = request.bytes + request.restBytes + this.#queue.bytes;
      this.#logPinnedBytes(this.#ledger.fixedBytes + wantedBytes, limitBytes);
      return false;
    }
    const booked = this.#queue.join(request);
    void this.#evict();
    return booked;
  }

  /** Before the scan. A blob that can't be kept later isn't begun: evictions would not help. */
  #fitsFreeDisk(request: RoomRequest): boolean {
    const { maxBytes, minFreeBytes, files } = this.#options;
    if (maxBytes > 0 && !this.#ledger.couldFit(request, maxBytes)) return false;
    const sample = this.#disk.sample;
    if (sample === undefined) return true; // a full disk fails the write
    const unwritten = Math.max(0, this.#ledger.reservedBytes - files.downloads.heldBytes);
    return (
      request.bytes + request.restBytes + unwritten <= sample.free - minFreeOn(sample.total, minFreeBytes)
    );
  }

  /** Only when pins are the reason, and once for each amount. `leastBytes`: the total after evicting everything evictable. */
  #logPinnedBytes(leastBytes: number, limitBytes: number): void {
    const { pinnedBytes } = this.#ledger;
    if (leastBytes - pinnedBytes > limitBytes || pinnedBytes === this.#loggedPinnedBytes) return;
    this.#loggedPinnedBytes = pinnedBytes;
    const message = 'pinned blobs leave no room, passing new blobs through';
    this.#options.logger.warn(message, { pinnedBytes, limitBytes });
  }

  async #makeRoom(): Promise<boolean> {
    const before = this.#evictor.removedBytes;
    const held = this.#ledger.evictableBytes;
    const wanted = Math.min(Math.max(roomBytes, held * roomShare), held / 2);
    this.#targetBytes = Math.min(this.#targetBytes, this.#ledger.totalBytes - wanted);
    await this.#evict();
    await this.#disk.refresh(0);
    return this.#evictor.removedBytes > before;
  }

  /** Joins the eviction that runs; it goes on until every request is answered. */
  #evict(): Promise<void> {
    this.#evicting ??= Promise.resolve().then(() => this.#evictDown());
    return this.#evicting;
  }

  async #evictDown(): Promise<void> {
    const removals = this.#evictor.removals();
    for (let isExhausted = false; !isExhausted && !this.#isClosed; ) {
      this.#queue.serve();
      if (this.#ledger.totalBytes + this.#queue.bytes <= this.#goalBytes) break;
      if (this.#options.files.isEvictionStopped?.() === true) break;
      isExhausted = (await removals.next()).done === true;
    }
    this.#queue.dismiss();
    this.#targetBytes = Infinity;
    this.#evicting = undefined;
    await removals.return(); // its line in the log
  }

  /** The low watermark; where the fixed bytes are above it already, the limit, so that the rest isn't evicted in vain. */
  get #goalBytes(): number {
    const limit = this.#limit.bytes;
    const low = Math.floor(limit * this.#options.lowWatermark);
    const fixed = this.#ledger.fixedBytes + this.#queue.bytes;
    return Math.min(fixed <= low ? low : limit, this.#targetBytes);
  }
}
