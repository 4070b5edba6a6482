/**
 * Compares held blobs with their digests: one reader per file, at the disk's pace, however many clients wait for the result.
 * A result is remembered in memory, and in the file's times for the next process.
 */
import { LRUCache } from 'lru-cache';
import { Limit } from '../lib/limit.ts';
import { algorithmOf, createDigester, type Digest, finishDigest } from '../oci/digest.ts';
import type { HeldBlob } from '../store/blobs/held-blob.ts';
import { verifyFirstBytes } from '../store/ingest/follower.ts';
import { StoreError } from '../store/store-error.ts';
import type { BadBlobs, ContentEvents } from './bad-blobs.ts';

/** `stopped`: the mirror is shutting down. */
export type CheckResult = 'good' | 'bad' | 'stopped';

export interface BlobCheck {
  readonly result: Promise<CheckResult>;
  /** The result, once there is one. */
  readonly known: CheckResult | undefined;
}

export interface BlobChecksOptions {
  /** 0: no age is too old. */
  readonly verifyAfterMs: number;
  readonly badBlobs: BadBlobs;
  readonly events: Pick<ContentEvents, 'verified'>;
  /** Ends the running checks. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** An entry that is pushed out costs one more check at most. */
const maxRemembered = 10_000;
/** Large blobs read at once: one keeps a core busy, and a few keep a huge one from holding up all others. */
const largeAtOnce = 4;
/** A file that was verified further in the future than this is checked again: the clock was wrong. */
const maxAheadMs = 24 * 3_600_000;

interface Checked {
  readonly fileId: string;
  readonly atMs: number;
}

export class BlobChecks {
  readonly #options: BlobChecksOptions;
  readonly #checked = new LRUCache<Digest, Checked>({ max: maxRemembered });
  /** By `keyOf`. */
  readonly #running = new Map<string, BlobCheck>();
  readonly #large = new Limit({ maxRunning: largeAtOnce });

  constructor(options: BlobChecksOptions) {
    this.#options = options;
  }

  /** The check that the file needs: the running one, or a new one when it is due. */
  ifNeeded(digest: Digest, held: HeldBlob): BlobCheck | undefined {
    const { verifyAfterMs } = this.#options;
    const running = this.#running.size === 0 ? undefined : this.#running.get(keyOf(digest, held));
    if (running !== undefined) return running;
    if (verifyAfterMs === 0) return undefined;
    const sinceMs = this.#sinceMs(digest, held);
    return sinceMs >= verifyAfterMs || sinceMs < -maxAheadMs ? this.#start(digest, held) : undefined;
  }

  /** A check whatever the file's age, unless it was compared within the last `restMs`. */
  unlessRecent(digest: Digest, held: HeldBlob, restMs: number): BlobCheck | undefined {
    const checked = this.#lastCheck(digest, held);
    const isRecent = checked !== undefined && this.#options.now() - checked.atMs < restMs;
    return isRecent ? undefined : (this.#running.get(keyOf(digest, held)) ?? this.#start(digest, held));
  }

  /**
   * A check for no client, that waits for `pace` after each block: it takes no place among the large ones. Errors: those of `pace`;
   * `StoreError` when the process is short of something for a moment.
   */
  async paced(digest: Digest, held: HeldBlob, pace: (bytes: number) => Promise<void>): Promise<CheckResult> {
    const { badBlobs } = this.#options;
    try {
      return await this.#compare(digest, held, await this.#digestOf(digest, held, pace));
    } catch (error) {
      if (!(error instanceof StoreError) || error.isPassing) throw error;
      await badBlobs.unreadable(digest, held.fileId, 'blob', error);
      return 'bad';
    }
  }

  /** Resolves when no check runs any more. */
  async drained(): Promise<void> {
    await Promise.all([...this.#running.values()].map(check => check.result));
  }

  #lastCheck(digest: Digest, held: HeldBlob): Checked | undefined {
    const checked = this.#checked.get(digest);
    return checked?.fileId === held.fileId ? checked : undefined;
  }

  #sinceMs(digest: Digest, held: HeldBlob): number {
    const nowMs = this.#options.now();
    const byFileMs = nowMs - held.verifiedMs;
    const checked = this.#lastCheck(digest, held);
    return checked === undefined ? byFileMs : nowMs - checked.atMs;
  }

  #start(digest: Digest, held: HeldBlob): BlobCheck {
    const key = keyOf(digest, held);
    const result = this.#run(digest, held.share()).finally(() => this.#running.delete(key));
    const check: { readonly result: Promise<CheckResult>; known: CheckResult | undefined } = {
      result,
      known: undefined,
    };
    result.then(
      known => {
        check.known = known;
      },
      () => {}, // all who waited may have left
    );
    this.#running.set(key, check);
    return check;
  }

  async #run(digest: Digest, held: HeldBlob): Promise<CheckResult> {
    const isLarge = held.size > verifyFirstBytes;
    try {
      const read = () => this.#digestOf(digest, held);
      return await this.#compare(digest, held, await (isLarge ? this.#large.run(read) : read()));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      await this.#options.badBlobs.unreadable(digest, held.fileId, 'blob', error);
    } finally {
      await held.close();
    }
    return 'bad';
  }

  /** `found`: what its bytes have; undefined: stopped on the way. */
  async #compare(digest: Digest, held: HeldBlob, found: Digest | undefined): Promise<CheckResult> {
    const { badBlobs, events, now } = this.#options;
    if (found === undefined) return 'stopped';
    if (found === digest) {
      this.#checked.set(digest, { fileId: held.fileId, atMs: now() });
      badBlobs.cleared(digest);
      events.verified(digest);
      return 'good';
    }
    await badBlobs.damaged(digest, held.fileId, 'blob', `its ${held.size} bytes have the digest ${found}`);
    return 'bad';
  }

  /** Undefined: stopped on the way. */
  async #digestOf(
    digest: Digest,
    held: HeldBlob,
    pace?: (bytes: number) => Promise<void>,
  ): Promise<Digest | undefined> {
    const algorithm = algorithmOf(digest);
    const hash = createDigester(algorithm);
    const block = Buffer.allocUnsafe(Math.max(1, Math.min(held.preferredBytes, held.size)));
    for (let at = 0; at < held.size; ) {
      if (this.#options.signal.aborted) return undefined;
      const count = await held.read(block, at);
      hash.update(block.subarray(0, count));
      at += count;
      await pace?.(count);
    }
    return finishDigest(algorithm, hash);
  }
}

function keyOf(digest: Digest, held: HeldBlob): string {
  return `${digest} ${held.fileId}`;
}
