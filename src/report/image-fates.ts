/**
 * What became of images: which were fetched and not pulled again, which blobs were evicted too early, what failed while its upstream was
 * away. Each table has a bound; the oldest entry goes.
 */
import type { UsageNotes } from '../telemetry/usage.ts';
import { dayMs } from './usage-history.ts';

export interface FetchedImage {
  /** Canonical. */
  readonly repository: string;
  readonly digest: string;
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

export interface FailedImage {
  /** Canonical. */
  readonly repository: string;
  readonly reference: string;
  /** Requests. */
  readonly times: number;
  /** When it last failed: milliseconds since the epoch. */
  readonly atMs: number;
}

/** A blob that was evicted and is downloaded again. */
export interface Refetched {
  readonly upstream: string;
  readonly bytes: number;
}

export type FateLine =
  | ({ readonly type: 'fetched' } & FetchedImage)
  | { readonly type: 'again'; readonly digest: string }
  | { readonly type: 'evicted'; readonly key: number; readonly bytes: number; readonly atMs: number }
  | { readonly type: 'refetched'; readonly key: number }
  | ({ readonly type: 'failed' } & FailedImage);

const maxImages = 10_000;
const maxEvicted = 20_000;
const maxFailed = 2_000;
/** What is needed again within it was evicted too early. */
const tooEarlyMs = 7 * dayMs;
const keptMs = 400 * dayMs;

export class ImageFates {
  /** Fetched, and not pulled since. By digest, in the order of their fetch. */
  readonly #once = new Map<string, FetchedImage>();
  /** By a number made of the digest: there may be many. */
  readonly #evicted = new Map<number, { readonly bytes: number; readonly atMs: number }>();
  /** By repository and reference, in the order of their last failure. */
  readonly #failed = new Map<string, FailedImage>();
  #changes: FateLine[] = [];

  /** Gives what was downloaded again too soon. */
  note({ pulled, blobs, failed }: UsageNotes, nowMs: number): readonly Refetched[] {
    for (const { digest, repository, isFetched, isPulledAgain } of pulled) {
      if (isFetched && !isPulledAgain) this.#note({ type: 'fetched', digest, repository, atMs: nowMs });
      else if (isPulledAgain && this.#once.has(digest)) this.#note({ type: 'again', digest });
    }
    const refetched: Refetched[] = [];
    for (const blob of blobs) {
      const key = keyOf(blob.digest);
      const eviction = this.#evicted.get(key);
      if ('evictedBytes' in blob) this.#note({ type: 'evicted', key, bytes: blob.evictedBytes, atMs: nowMs });
      else if (eviction !== undefined) {
        this.#note({ type: 'refetched', key });
        if (nowMs - eviction.atMs <= tooEarlyMs)
          refetched.push({ upstream: blob.upstream, bytes: eviction.bytes });
      }
    }
    for (const { repository, reference, times } of failed) {
      const before = this.#failed.get(`${repository} ${reference}`)?.times ?? 0;
      this.#note({ type: 'failed', repository, reference, times: before + times, atMs: nowMs });
    }
    return refetched;
  }

  /** A line of the file. What was not written by us is passed over. */
  apply(line: Readonly<Record<string, unknown>>): void {
    const { type, digest, repository, reference, key, bytes, atMs, times } = line;
    const isImage = typeof repository === 'string' && typeof atMs === 'number';
    if (type === 'fetched' && typeof digest === 'string' && isImage)
      this.#apply({ type, digest, repository, atMs });
    else if (type === 'again' && typeof digest === 'string') this.#apply({ type, digest });
    else if (typeof key === 'number' && type === 'refetched') this.#apply({ type, key });
    else if (
      typeof key === 'number' &&
      type === 'evicted' &&
      typeof bytes === 'number' &&
      typeof atMs === 'number'
    )
      this.#apply({ type, key, bytes, atMs });
    else if (type === 'failed' && typeof reference === 'string' && typeof times === 'number' && isImage)
      this.#apply({ type, repository, reference, times, atMs });
  }

  /** What is too old to matter goes. */
  age(nowMs: number): void {
    for (const [key, { atMs }] of this.#evicted) if (nowMs - atMs > tooEarlyMs) this.#evicted.delete(key);
    for (const [key, { atMs }] of this.#failed) if (nowMs - atMs > keptMs) this.#failed.delete(key);
    for (const [digest, { atMs }] of this.#once) if (nowMs - atMs > keptMs) this.#once.delete(digest);
  }

  /** What has changed since the last call. */
  takeChanges(): readonly FateLine[] {
    const changes = this.#changes;
    this.#changes = [];
    return changes;
  }

  /** All of it, for a new file. */
  *lines(): Iterable<FateLine> {
    for (const image of this.#once.values()) yield { type: 'fetched', ...image };
    for (const [key, eviction] of this.#evicted) yield { type: 'evicted', key, ...eviction };
    for (const image of this.#failed.values()) yield { type: 'failed', ...image };
  }

  /** Manifests that were fetched since then and not pulled after it; the oldest first. */
  fetchedOnce(sinceMs: number): readonly FetchedImage[] {
    return Array.from(this.#once.values()).filter(({ atMs }) => atMs >= sinceMs);
  }

  /** Since then; the last first. */
  failed(sinceMs: number): readonly FailedImage[] {
    return Array.from(this.#failed.values())
      .filter(({ atMs }) => atMs >= sinceMs)
      .reverse();
  }

  #note(line: FateLine): void {
    this.#apply(line);
    this.#changes.push(line);
  }

  #apply(line: FateLine): void {
    switch (line.type) {
      case 'fetched': {
        const { type: _type, ...image } = line;
        put(this.#once, line.digest, image, maxImages);
        break;
      }
      case 'again':
        this.#once.delete(line.digest);
        break;
      case 'evicted':
        put(this.#evicted, line.key, { bytes: line.bytes, atMs: line.atMs }, maxEvicted);
        break;
      case 'refetched':
        this.#evicted.delete(line.key);
        break;
      case 'failed': {
        const { type: _type, ...image } = line;
        put(this.#failed, `${line.repository} ${line.reference}`, image, maxFailed);
      }
    }
  }
}

function put<Key, Value>(map: Map<Key, Value>, key: Key, value: Value, max: number): void {
  map.delete(key);
  if (map.size >= max)
    for (const [oldest] of map) {
      map.delete(oldest);
      break;
    }
  map.set(key, value);
}

/** 48 bits of it: two of 20,000 are alike once in a million times. */
function keyOf(digest: string): number {
  const hex = digest.slice(digest.indexOf(':') + 1);
  return Number.parseInt(hex.slice(0, 12), 16);
}
