/**
 * The books: what is on disk and what was promised, in bytes. Each call takes effect at once; nothing here waits or knows a
 * limit.
 */
import { formatBytes } from '../lib/format.ts';
import type { Lru } from '../lru/lru.ts';
import type { Digest } from '../oci/digest.ts';
import type { Logger } from '../telemetry/logger.ts';

export interface RoomRequest {
  readonly bytes: number;
  /** A partial of that digest becomes part of the reservation. */
  readonly digest: Digest | undefined;
  /** What follows these bytes: they are refused at once when the rest could never fit. It evicts nothing yet. */
  readonly restBytes: number;
  /** The rest that this one takes the place of: of the same reservation's request before. */
  readonly formerRestBytes: number;
}

/** Pinned blobs, which are never evicted. */
export interface Pins {
  /** Of blobs that are pinned and held. */
  readonly bytes: number;
  /** A blob came into the store. */
  held(digest: Digest, size: number): void;
}

/** A partial on disk that no download is filling. */
export interface Partial {
  readonly digest: Digest;
  /** On disk. */
  readonly bytes: number;
  /** When it last grew: milliseconds since the epoch. */
  readonly lastUseMs: number;
}

/** A snapshot in bytes. `heldBytes`: blobs, manifests, partials and records; `freeBytes` of the disk, when it could be read. */
export interface Usage {
  readonly heldBytes: number;
  /** Of `heldBytes`, those of partials that no download fills. */
  readonly partialBytes: number;
  readonly reservedBytes: number;
  readonly limitBytes: number;
  /** `max_size`, or `min_free: the disk has only …`. */
  readonly limitReason: string;
  readonly freeBytes: number | undefined;
  /** Evictable blobs. */
  readonly blobs: number;
  /** False: the scan still runs, and `heldBytes` and `limitBytes` are incomplete. */
  readonly known: boolean;
}

export class Ledger {
  readonly partials = new PartialList();
  readonly #lru: Pick<Lru, 'bytes' | 'add'>;
  readonly #pins: Pins | undefined;
  readonly #recordBytes: () => number;
  manifestBytes = 0;
  reservedBytes = 0;
  /** The rests of all reservations: eviction will have to find room for them as they come. */
  promisedBytes = 0;

  /** `recordBytes`: of records and lists on disk now. */
  constructor(lru: Pick<Lru, 'bytes' | 'add'>, pins?: Pins, recordBytes: () => number = () => 0) {
    this.#lru = lru;
    this.#pins = pins;
    this.#recordBytes = recordBytes;
  }

  get pinnedBytes(): number {
    return this.#pins?.bytes ?? 0;
  }

  /** The most that an eviction could free. */
  get evictableBytes(): number {
    return Math.max(0, this.#lru.bytes - this.pinnedBytes) + this.partials.bytes;
  }

  /** What stays after evicting everything evictable. */
  get fixedBytes(): number {
    return this.totalBytes - this.evictableBytes;
  }

  get heldBytes(): number {
    return this.#lru.bytes + this.partials.bytes + this.manifestBytes + this.#recordBytes();
  }

  get totalBytes(): number {
    return this.heldBytes + this.reservedBytes;
  }

  /** What the request would add to the total. */
  cost({ bytes, digest }: RoomRequest): number {
    return bytes - (digest === undefined ? 0 : this.partials.bytesOf(digest));
  }

  fits(request: RoomRequest, limitBytes: number): boolean {
    return this.totalBytes + this.cost(request) <= limitBytes;
  }

  /**
   * Whether the request and its rest would fit into an empty cache, beside `otherBytes`. If not, an eviction for them would be
   * in vain.
   */
  couldFit({ bytes, restBytes, formerRestBytes }: RoomRequest, limitBytes: number, otherBytes = 0): boolean {
    const promised = this.promisedBytes - formerRestBytes + restBytes;
    return this.fixedBytes + promised + bytes + otherBytes <= limitBytes;
  }

  book({ bytes, digest, restBytes, formerRestBytes }: RoomRequest): void {
    this.reservedBytes += bytes;
    this.promisedBytes += restBytes - formerRestBytes;
    if (digest !== undefined) this.partials.delete(digest);
  }

  /** A blob came into the store. */
  keepBlob(digest: Digest, size: number): void {
    this.partials.delete(digest);
    this.#lru.add(digest, size);
    this.#pins?.held(digest, size);
  }
}

/** Partials count in the limit and are evicted before any blob. */
export class PartialList {
  readonly #partials = new Map<Digest, Partial>();
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  bytesOf(digest: Digest): number {
    return this.#partials.get(digest)?.bytes ?? 0;
  }

  has(digest: Digest): boolean {
    return this.#partials.has(digest);
  }

  set(partial: Partial): void {
    this.delete(partial.digest);
    this.#partials.set(partial.digest, partial);
    this.#bytes += partial.bytes;
  }

  delete(digest: Digest): void {
    this.#bytes -= this.bytesOf(digest);
    this.#partials.delete(digest);
  }

  coldestFirst(): readonly Partial[] {
    return [...this.#partials.values()].sort((a, b) => a.lastUseMs - b.lastUseMs);
  }
}

/** One reading of the disk, in bytes; `onDisk` are our own bytes on it at that moment. */
export interface DiskSample {
  readonly free: number;
  readonly total: number;
  readonly onDisk: number;
}

export interface LimitOptions {
  /** `max_size`; 0 or Infinity: none. */
  readonly maxBytes: number;
  /** `min_free` as configured; undefined: the default rule. */
  readonly minFreeBytes: number | undefined;
}

export interface Limit {
  /** Infinity only when nothing limits and the disk could not be read. */
  readonly bytes: number;
  /** For people: `max_size`, or `min_free: the disk has only …`. */
  readonly reason: string;
}

const defaultMinFreeBytes = 2 * 1024 ** 3;
/** The default is at most this share, for small disks. */
const defaultMinFreeShare = 0.05;

/** Bytes that stay free on a disk of `totalBytes`. A configured value is taken as it is. */
export function minFreeOn(totalBytes: number, configured: number | undefined): number {
  return configured ?? Math.min(defaultMinFreeBytes, Math.floor(totalBytes * defaultMinFreeShare));
}

/** A sentence when a configured `min_free` can never be met, else undefined. */
export function describeMinFreeProblem(
  configured: number | undefined,
  totalBytes: number,
): string | undefined {
  if (configured === undefined || configured < totalBytes) return undefined;
  const [wanted, total] = [formatBytes(configured), formatBytes(totalBytes)];
  return `store.min_free is ${wanted}, but the whole disk has ${total}: nothing can be kept; set it below the size of the disk`;
}

/** What the disk lets us have in all, in bytes; Infinity when it could not be read. */
export function diskLimit(
  { minFreeBytes }: Pick<LimitOptions, 'minFreeBytes'>,
  sample: DiskSample | undefined,
): number {
  if (sample === undefined) return Infinity;
  return sample.onDisk + sample.free - minFreeOn(sample.total, minFreeBytes);
}

/** `uploadBytes`: of the disk, they are not for the cache. */
export function computeLimit(options: LimitOptions, sample: DiskSample | undefined, uploadBytes = 0): Limit {
  const maxBytes = options.maxBytes === 0 ? Infinity : options.maxBytes;
  if (sample === undefined) {
    return {
      bytes: maxBytes,
      reason: maxBytes === Infinity ? 'none: the disk could not be asked' : 'max_size',
    };
  }
  const minFree = minFreeOn(sample.total, options.minFreeBytes);
  const byDisk = Math.max(0, diskLimit(options, sample) - uploadBytes);
  if (maxBytes <= byDisk) return { bytes: maxBytes, reason: 'max_size' };
  const free = `the disk has only ${formatBytes(sample.free)} free of ${formatBytes(sample.total)}`;
  return { bytes: byDisk, reason: `min_free: ${free}, and ${formatBytes(minFree)} stay free` };
}

export interface DiskWatchOptions {
  freeBytes(): Promise<{ readonly free: number; readonly total: number }>;
  /** Our own bytes on that disk now. */
  onDiskBytes(): number;
  readonly logger: Logger;
  now(): number;
}

const maxReads = 3;

/**
 * The last reading of the disk. Between two readings our own writes and unlinks move `free` and `onDisk` against each other,
 * so their sum, and the limit, stays right; only what others write needs a new reading.
 */
export class DiskWatch {
  readonly #options: DiskWatchOptions;
  #sample: DiskSample | undefined;
  #sampledAt = -Infinity;
  #reading: Promise<void> | undefined;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
  }

  /** Undefined until the disk was read once. */
  get sample(): DiskSample | undefined {
    return this.#sample;
  }

  /** Reads the disk unless the last reading is younger than `maxAgeMs`. Concurrent callers share one. Never throws. */
  async refresh(maxAgeMs: number): Promise<void> {
    const ageMs = this.#options.now() - this.#sampledAt;
    if (ageMs >= 0 && ageMs < maxAgeMs) return; // below 0: the clock was set back
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  async #read(): Promise<void> {
    try {
      this.#sample = await this.#sampleDisk();
      this.#sampledAt = this.#options.now();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.logger.warn('the free space of the disk could not be read', { error: reason });
    }
  }

  /**
   * Writes and removals during a reading may or may not be in `free`, so it is repeated: a blob that went meanwhile would
   * make the limit too small by its size, and others would be evicted in vain. After the last try the smaller sum is safe.
   */
  async #sampleDisk(): Promise<DiskSample> {
    for (let reads = 1; ; reads += 1) {
      const before = this.#options.onDiskBytes();
      const { free, total } = await this.#options.freeBytes();
      const after = this.#options.onDiskBytes();
      if (before === after || reads === maxReads) return { free, total, onDisk: Math.min(before, after) };
    }
  }
}
