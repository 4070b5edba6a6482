/**
 * Held blobs compared with their digest, one reader per file however many clients wait for what it finds. It reads at the
 * disk's pace, ahead of the clients, ends by itself when they have left, and what it found is remembered: for as long as
 * this process lives, and in the file's times for the next one.
 */
import { LRUCache } from 'lru-cache';
import { algorithmOf, createDigester, type Digest, finishDigest } from '../oci/digest.ts';
import type { HeldBlob } from '../store/blobs/held-blob.ts';
import { verifyFirstBytes } from '../store/ingest/release-policy.ts';
import { StoreError } from '../store/store-error.ts';
import type { BadBlobs } from './bad-blobs.ts';

/** `stopped`: the mirror is shutting down. */
export type CheckResult = 'good' | 'bad' | 'stopped';

export interface BlobCheck {
  readonly verdict: Promise<CheckResult>;
  /** The same, once it is known. */
  readonly known: CheckResult | undefined;
}

export interface BlobChecksOptions {
  /** 0: no age is too old. */
  readonly verifyAfterMs: number;
  readonly badBlobs: BadBlobs;
  /** Aborted at shutdown. */
  readonly signal: AbortSignal;
  now(): number;
  /** The blob was found good just now: to be kept on disk. */
  verified(digest: Digest): void;
}

/** What was checked lately. An entry that is pushed out costs another check after a restart at most. */
const maxRemembered = 10_000;
/** Large blobs read at once: one is enough to keep a core busy, a few so that a huge one doesn't hold up all others. */
const largeAtOnce = 4;
/** A clock that was ahead so far when a file was verified is not believed. */
const maxAheadMs = 24 * 3_600_000;

interface Checked {
  readonly fileId: string;
  readonly atMs: number;
}

export class BlobChecks {
  readonly #options: BlobChecksOptions;
  readonly #checked = new LRUCache<Digest, Checked>({ max: maxRemembered });
  /** By digest and file. */
  readonly #running = new Map<string, RunningCheck>();
  readonly #waiting: (() => void)[] = [];
  #large = 0;

  constructor(options: BlobChecksOptions) {
    this.#options = options;
  }

  /** The check that the file needs: one that runs already, or one for its age. */
  ifNeeded(digest: Digest, held: HeldBlob): BlobCheck | undefined {
    const { verifyAfterMs } = this.#options;
    const running = this.#running.size === 0 ? undefined : this.#running.get(keyOf(digest, held));
    if (running !== undefined) return running;
    if (verifyAfterMs === 0) return undefined;
    const sinceMs = this.#sinceMs(digest, held);
    return sinceMs >= verifyAfterMs || sinceMs < -maxAheadMs ? this.#start(digest, held) : undefined;
  }

  /** As if it were old, unless it was compared in the last `restMs`. */
  unlessRecent(digest: Digest, held: HeldBlob, restMs: number): BlobCheck | undefined {
    const checked = this.#lastCheck(digest, held);
    const isRecent = checked !== undefined && this.#options.now() - checked.atMs < restMs;
    return isRecent ? undefined : (this.#running.get(keyOf(digest, held)) ?? this.#start(digest, held));
  }

  /** Resolves when none runs any more; the signal that ends them is the owner's. */
  async drained(): Promise<void> {
    await Promise.all([...this.#running.values()].map(check => check.verdict));
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
    const check = new RunningCheck(this.#run(digest, held.share()).finally(() => this.#running.delete(key)));
    this.#running.set(key, check);
    return check;
  }

  async #run(digest: Digest, held: HeldBlob): Promise<CheckResult> {
    const { badBlobs, signal, now, verified } = this.#options;
    const isLarge = held.size > verifyFirstBytes;
    try {
      if (isLarge) await this.#enter();
      const found = await this.#digestOf(digest, held);
      if (found === digest) {
        this.#checked.set(digest, { fileId: held.fileId, atMs: now() });
        verified(digest);
        return 'good';
      }
      if (signal.aborted) return 'stopped';
      await badBlobs.damaged(digest, held.fileId, 'blob', `its ${held.size} bytes have the digest ${found}`);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      await badBlobs.unreadable(digest, held.fileId, 'blob', error);
    } finally {
      if (isLarge) this.#leave();
      await held.close();
    }
    return 'bad';
  }

  /** Undefined: stopped on the way. */
  async #digestOf(digest: Digest, held: HeldBlob): Promise<Digest | undefined> {
    const algorithm = algorithmOf(digest);
    const hash = createDigester(algorithm);
    const block = Buffer.allocUnsafe(Math.max(1, Math.min(held.preferredBytes, held.size)));
    for (let at = 0; at < held.size; ) {
      if (this.#options.signal.aborted) return undefined;
      const count = await held.read(block, at);
      hash.update(block.subarray(0, count));
      at += count;
    }
    return finishDigest(algorithm, hash);
  }

  async #enter(): Promise<void> {
    if (this.#large >= largeAtOnce) await new Promise<void>(resolve => this.#waiting.push(resolve));
    else this.#large += 1;
  }

  /** The place goes to the next in line. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#large -= 1;
    else next();
  }
}

class RunningCheck implements BlobCheck {
  readonly verdict: Promise<CheckResult>;
  #known: CheckResult | undefined;

  constructor(verdict: Promise<CheckResult>) {
    this.verdict = verdict.then(known => {
      this.#known = known;
      return known;
    });
    this.verdict.catch(() => {}); // for those who wait; there may be nobody
  }

  get known(): CheckResult | undefined {
    return this.#known;
  }
}

function keyOf(digest: Digest, held: HeldBlob): string {
  return `${digest} ${held.fileId}`;
}
