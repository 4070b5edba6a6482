/**
 * How a hosted repository gets a blob: a hold, so that it isn't removed meanwhile; a look at the store; a durable name; a line in the log.
 * Pushes, mounts and adoption all link by this one.
 */
import type { BlobHolds } from '../content/blob-holds.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import type { Repository } from '../oci/name.ts';
import type { HostedLog } from './log/hosted-log.ts';
import type { Quotas } from './put-manifest.ts';

export interface BlobLinksOptions {
  readonly log: Pick<HostedLog, 'readRepository' | 'commit'>;
  readonly holds: Pick<BlobHolds, 'hold'>;
  readonly store: {
    /** Errors: `StoreError` sync. */
    syncName(digest: Digest): Promise<void>;
  };
  /** Bytes; undefined: not held, or known to be bad. */
  readonly sizeOf: (digest: Digest) => Promise<number | undefined>;
  readonly quotas: Quotas;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export interface NewLink {
  readonly repository: Repository;
  readonly digest: Digest;
  readonly user: string | undefined;
  readonly how: 'push' | 'mount' | 'adopt' | 'promote';
}

/** Of a blob that is not known yet. */
const noBlob = parseDigest(`sha256:${'0'.repeat(64)}`);

export class BlobLinks {
  readonly #options: BlobLinksOptions;

  constructor(options: BlobLinksOptions) {
    this.#options = options;
  }

  /** Resolves with the size in bytes; undefined: not held. Errors: `StoreError`; those of the log. */
  async linkHeld(link: NewLink): Promise<number | undefined> {
    return this.link(link, async size => {
      if (size !== undefined) await this.#options.store.syncName(link.digest);
      return size;
    });
  }

  /**
   * `bring` is told what is held, puts the blob into the store if need be, and answers with its size; undefined: there is none.
   * Errors: those of `bring` and of the log; the link is not there then.
   */
  async link(
    { repository, digest, user, how }: NewLink,
    bring: (heldBytes: number | undefined) => Promise<number | undefined>,
  ): Promise<number | undefined> {
    const { log, holds, sizeOf, now } = this.#options;
    const release = await holds.hold(digest);
    let unbook: (() => void) | undefined;
    try {
      const size = await bring(await sizeOf(digest));
      if (size === undefined) return undefined;
      unbook = await this.#book(repository, digest, size);
      const cause = { at: now(), how, ...(user !== undefined && { user }) };
      await log.commit(repository, [{ type: 'link', digest, size, ...cause }]);
      return size;
    } finally {
      unbook?.();
      release();
    }
  }

  /**
   * Before bytes are asked for: a blob of that size may be linked. Without a digest it may be any blob, so that only a quota that is used
   * up refuses it. Errors: DENIED.
   */
  async requireQuota(repository: Repository, digest: Digest | undefined, size: number): Promise<void> {
    const unbook = await this.#book(repository, digest ?? noBlob, digest === undefined ? 1 : size);
    unbook?.();
  }

  async #book(repository: Repository, digest: Digest, size: number): Promise<(() => void) | undefined> {
    const { quotas, log } = this.#options;
    if ((await log.readRepository(repository))?.link(digest) !== undefined) return undefined;
    return quotas.book(repository, { links: new Map([[digest, size]]), tags: [] });
  }
}
