/**
 * How many bytes the store may hold, and why. `min_free` is a promise to other data on the disk: the limit is our own bytes
 * plus what is free above `min_free` now, and at most `max_size`. `DiskWatch` reads the free space.
 */
import { formatBytes } from '../lib/format.ts';
import type { Logger } from '../telemetry/logger.ts';

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

export function computeLimit(options: LimitOptions, sample: DiskSample | undefined): Limit {
  const maxBytes = options.maxBytes === 0 ? Infinity : options.maxBytes;
  if (sample === undefined) {
    return {
      bytes: maxBytes,
      reason: maxBytes === Infinity ? 'none: the disk could not be asked' : 'max_size',
    };
  }
  const minFree = minFreeOn(sample.total, options.minFreeBytes);
  const byDisk = Math.max(0, sample.onDisk + sample.free - minFree);
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
