/**
 * The last look at the disk. Between two looks our own writes and unlinks move `free` and `onDisk` against each other, so
 * their sum, and the limit made of it, stays right; only what others write needs a new look.
 */
import type { Logger } from '../telemetry/logger.ts';
import type { DiskSample } from './limit.ts';

export interface DiskWatchOptions {
  freeBytes(): Promise<{ readonly free: number; readonly total: number }>;
  /** Bytes of ours on that disk now. */
  onDiskBytes(): number;
  readonly logger: Logger;
  now(): number;
}

const maxLooks = 3;

export class DiskWatch {
  readonly #options: DiskWatchOptions;
  #sample: DiskSample | undefined;
  #sampledAt = -Infinity;
  #looking: Promise<void> | undefined;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
  }

  /** Undefined until the disk could be asked once. */
  get sample(): DiskSample | undefined {
    return this.#sample;
  }

  /** Looks unless the last look is younger than `maxAgeMs`. Callers at the same time share one look. Never throws. */
  async refresh(maxAgeMs: number): Promise<void> {
    const ageMs = this.#options.now() - this.#sampledAt;
    if (ageMs >= 0 && ageMs < maxAgeMs) return; // below 0: the clock was set back
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    await this.#looking;
  }

  async #look(): Promise<void> {
    try {
      this.#sample = await this.#sampleDisk();
      this.#sampledAt = this.#options.now();
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#options.logger.warn('the free space of the disk could not be read', { error: reason });
    }
  }
  /**
   * What was written or removed during a look may or may not be in `free`, so another one is taken: a blob that went
   * meanwhile would make the limit too small by its size, and others would go for nothing. On a disk that doesn't come to
   * rest, the smaller sum is the safe one.
   */
  async #sampleDisk(): Promise<DiskSample> {
    for (let looks = 1; ; looks += 1) {
      const before = this.#options.onDiskBytes();
      const { free, total } = await this.#options.freeBytes();
      const after = this.#options.onDiskBytes();
      if (before === after || looks === maxLooks) return { free, total, onDisk: Math.min(before, after) };
    }
  }
}
