/**
 * Renews the leases of the blobs that this node gets from an upstream for the whole fleet, each until its transfer is over *and* the download
 * has stored the blob; then the lease is given back and the blob is announced, in one step. A lost lease (this process was stopped for
 * longer than it lives) is logged and nothing else: both nodes verify what they get.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { BlobLeases } from './blob-leases.ts';

/** What the fleet needs of the store and its downloads. */
export interface LocalBlobs {
  isHeld(digest: Digest): Promise<boolean>;
  /** A download of the blob runs in this process. */
  isActive(digest: Digest): boolean;
  /** Resolves when no download of the blob runs in this process. */
  ended(digest: Digest): Promise<void>;
}

export interface LeaseRenewalsOptions {
  readonly leases: BlobLeases;
  readonly blobs: LocalBlobs;
  readonly logger: Logger;
  /** Well below a lease's life. */
  readonly renewMs: number;
  onLost(): void;
}

interface RenewedLease {
  transfers: number;
  isLost: boolean;
}

export class LeaseRenewals {
  readonly #options: LeaseRenewalsOptions;
  readonly #renewed = new Map<Digest, RenewedLease>();
  readonly #ends = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #isRenewing = false;

  constructor(options: LeaseRenewalsOptions) {
    this.#options = options;
  }

  /** How many blobs this node fetches for the fleet now. */
  get count(): number {
    return this.#renewed.size;
  }

  /** A transfer from the upstream begins. The answer is to be called when that transfer is over; idempotent. */
  begin(digest: Digest): () => void {
    const lease = this.#renewed.get(digest) ?? { transfers: 0, isLost: false };
    lease.transfers += 1;
    this.#renewed.set(digest, lease);
    this.#timer ??= setInterval(() => void this.renew(), this.#options.renewMs).unref();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      lease.transfers -= 1;
      if (lease.transfers > 0) return;
      const end = this.#end(digest, lease).finally(() => this.#ends.delete(end));
      this.#ends.add(end);
    };
  }

  /** Renews each lease, and takes those that are free again: Redis was away, or has lost them. */
  async renew(): Promise<void> {
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    try {
      const { leases, logger, onLost } = this.#options;
      for (const [digest, lease] of this.#renewed) {
        const outcome = await leases.renew(digest);
        if (outcome === 'lost' && !lease.isLost) {
          logger.warn('another node took the lease of a blob that this one downloads', { digest });
          onLost();
        }
        if (outcome !== 'away') lease.isLost = outcome === 'lost';
      }
    } finally {
      this.#isRenewing = false;
    }
  }

  /** Gives the other leases back: their downloads have ended. Idempotent. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#ends);
    await Promise.all([...this.#renewed.keys()].map(digest => this.#options.leases.release(digest, false)));
    this.#renewed.clear();
  }

  /** Waits for the download's end; a download that goes on with another transfer keeps the lease. */
  async #end(digest: Digest, lease: RenewedLease): Promise<void> {
    const { leases, blobs } = this.#options;
    await blobs.ended(digest);
    if (lease.transfers > 0 || this.#renewed.get(digest) !== lease) return;
    this.#renewed.delete(digest);
    await leases.release(digest, await blobs.isHeld(digest).catch(() => false));
    if (this.#renewed.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
