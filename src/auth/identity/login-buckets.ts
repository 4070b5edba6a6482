/**
 * How many logins with one name may fail from one address: five, then one every ten seconds. A login takes its token before it is
 * checked, so that many at once count too, and gives it back when it was right. All spellings of a name share a bucket.
 */
import { ExpiringMap } from '../../lib/expiring-map.ts';

const capacity = 5;
const refillMs = 10_000;
const maxBuckets = 20_000;

interface Bucket {
  readonly tokens: number;
  readonly atMs: number;
  /** It has been found empty since it last had a token. */
  readonly wasEmpty: boolean;
}

export type Taken =
  | { readonly isTaken: true }
  | { readonly isTaken: false; readonly retryAfterSeconds: number; readonly isFirst: boolean };

export class LoginBuckets {
  readonly #buckets: ExpiringMap<string, Bucket>;
  readonly #now: () => number;

  /** `now`: milliseconds since the epoch. */
  constructor(now: () => number) {
    this.#now = now;
    this.#buckets = new ExpiringMap({ maxEntries: maxBuckets, ttlMs: capacity * refillMs, now });
  }

  take(key: string): Taken {
    const bucket = this.#filled(key);
    const atMs = this.#now();
    if (bucket.tokens >= 1) {
      this.#buckets.set(key, { tokens: bucket.tokens - 1, atMs, wasEmpty: false });
      return { isTaken: true };
    }
    this.#buckets.set(key, { ...bucket, atMs, wasEmpty: true });
    const retryAfterSeconds = Math.max(1, Math.ceil(((1 - bucket.tokens) * refillMs) / 1000));
    return { isTaken: false, retryAfterSeconds, isFirst: !bucket.wasEmpty };
  }

  giveBack(key: string): void {
    const bucket = this.#filled(key);
    this.#buckets.set(key, { ...bucket, tokens: Math.min(capacity, bucket.tokens + 1), atMs: this.#now() });
  }

  #filled(key: string): Bucket {
    const bucket = this.#buckets.get(key);
    if (bucket === undefined) return { tokens: capacity, atMs: this.#now(), wasEmpty: false };
    const gained = (this.#now() - bucket.atMs) / refillMs;
    return { ...bucket, tokens: Math.min(capacity, bucket.tokens + gained) };
  }
}

/**
 * One text for all spellings that a directory may take for the same user (RFC 4518): case, blanks, accents, forms of characters, and
 * characters that are not seen. Two users who share it share a bucket, which costs them little.
 */
export function bucketNameOf(name: string): string {
  return name
    .normalize('NFKD')
    .replaceAll(/[\p{M}\p{C}\p{Z}\s\p{Default_Ignorable_Code_Point}]/gu, '')
    .toLowerCase();
}
