/**
 * The blobs that this node gets from an upstream for the whole fleet. For each, the lease is renewed until the transfer is
 * over *and* the download that it belonged to has put the blob into its place; then it is given back and the blob is
 * announced, in one step. A lease that was lost (this process was stopped for longer than it lives) is noticed and only
 * noticed: both nodes verify what they get.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { BlobLeases } from './blob-leases.ts';

/** What of the store and its downloads is needed. */
export interface Holdings {
  isHeld(digest: Digest): Promise<boolean>;
  /** A download of it runs in this process. */
  isActive(digest: Digest): boolean;
  /** Resolves when no download of it runs in this process. */
  ended(digest: Digest): Promise<void>;
}

export interface LeaseRenewalsOptions {
  readonly claims: BlobLeases;
  readonly holdings: Holdings;
  readonly logger: Logger;
  /** Well below a lease's life. */
  readonly renewMs: number;
  onLost(): void;
}

interface Lead {
  transfers: number;
  isLost: boolean;
}

export class LeaseRenewals {
  readonly #options: LeaseRenewalsOptions;
  readonly #leads = new Map<Digest, Lead>();
  readonly #ends = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #renewing = false;

  constructor(options: LeaseRenewalsOptions) {
    this.#options = options;
  }

  /** How many blobs this node fetches for the fleet now. */
  get count(): number {
    return this.#leads.size;
  }

  /** A transfer from the upstream has begun. Call what it gives when that transfer is over, for whatever reason. */
  begin(digest: Digest): () => void {
    const lead = this.#leads.get(digest) ?? { transfers: 0, isLost: false };
    lead.transfers += 1;
    this.#leads.set(digest, lead);
    this.#timer ??= setInterval(() => void this.renew(), this.#options.renewMs).unref();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      lead.transfers -= 1;
      if (lead.transfers > 0) return;
      const end = this.#end(digest, lead).finally(() => this.#ends.delete(end));
      this.#ends.add(end);
    };
  }

  /** One more life for each lease. Also takes those that nobody has: Redis was away, or has lost them. */
  async renew(): Promise<void> {
    if (this.#renewing) return;
    this.#renewing = true;
    try {
      const { claims, logger, onLost } = this.#options;
      for (const [digest, lead] of this.#leads) {
        const outcome = await claims.renew(digest);
        if (outcome === 'lost' && !lead.isLost) {
          logger.warn('another node took the lease of a blob that this one downloads', { digest });
          onLost();
        }
        if (outcome !== 'away') lead.isLost = outcome === 'lost';
      }
    } finally {
      this.#renewing = false;
    }
  }

  /** Idempotent. Gives back what is left: its downloads have ended. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#ends);
    await Promise.all([...this.#leads.keys()].map(digest => this.#options.claims.release(digest, false)));
    this.#leads.clear();
  }

  /** Waits for the download's own end; one that goes on with another transfer keeps the lease. */
  async #end(digest: Digest, lead: Lead): Promise<void> {
    const { claims, holdings } = this.#options;
    await holdings.ended(digest);
    if (lead.transfers > 0 || this.#leads.get(digest) !== lead) return;
    this.#leads.delete(digest);
    await claims.release(digest, await holdings.isHeld(digest).catch(() => false));
    if (this.#leads.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
