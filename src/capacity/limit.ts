/**
 * How many bytes the cache may hold, and why. Pure arithmetic over one look at the disk.
 *
 * `min_free` is a promise to everybody else on this disk, so it counts what is free now: our own bytes plus what is free
 * above `min_free` is the most we may ever reach. `max_size` cuts that off.
 */

/** One look at the disk, in bytes; `onDisk` is what was ours of it at that moment. */
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
  /** Infinity only when nothing limits and the disk could not be asked. */
  readonly bytes: number;
  /** For people: `max_size`, or `min_free: the disk has only …`. */
  readonly reason: string;
}

const defaultMinFreeBytes = 2 * 1024 ** 3;
/** So that the default doesn't eat up a small disk. */
const defaultMinFreeShare = 0.05;

/** Bytes that stay free on a disk of `totalBytes`. A configured value is taken as it is. */
export function minFreeOn(totalBytes: number, configured: number | undefined): number {
  return configured ?? Math.min(defaultMinFreeBytes, Math.floor(totalBytes * defaultMinFreeShare));
}

/** A sentence when a configured `min_free` can't ever be met; undefined when all is well. */
export function describeMinFreeProblem(
  configured: number | undefined,
  totalBytes: number,
): string | undefined {
  if (configured === undefined || configured < totalBytes) return undefined;
  const [wanted, total] = [formatBytes(configured), formatBytes(totalBytes)];
  return `store.min_free is ${wanted}, but the whole disk has ${total}: nothing could be kept; expected less than the disk`;
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

/** `1.5 GiB`; for sentences, not for parsing. */
function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${Number((bytes / 1024 ** power).toFixed(1))} ${units[power]}`;
}
