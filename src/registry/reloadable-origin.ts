/**
 * An origin that another one can take the place of while the mirror runs: other credentials, other certificates. Transfers
 * that run go on with the origin that they began with; all of them are closed at the end.
 */
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/name.ts';
import type { Origin, OriginHealth } from './origin.ts';
import type { BlobSource } from './registry.ts';

export class ReloadableOrigin implements Origin {
  readonly key: string;
  #current: Origin;
  readonly #earlier: Origin[] = [];

  constructor(first: Origin) {
    this.key = first.key;
    this.#current = first;
  }

  /** For questions from now on. */
  replace(next: Origin): void {
    this.#earlier.push(this.#current);
    this.#current = next;
  }

  resolve(...asked: Parameters<Origin['resolve']>): ReturnType<Origin['resolve']> {
    return this.#current.resolve(...asked);
  }

  manifest(...asked: Parameters<Origin['manifest']>): ReturnType<Origin['manifest']> {
    return this.#current.manifest(...asked);
  }

  stat(...asked: Parameters<Origin['stat']>): ReturnType<Origin['stat']> {
    return this.#current.stat(...asked);
  }

  blob(...asked: Parameters<Origin['blob']>): ReturnType<Origin['blob']> {
    return this.#current.blob(...asked);
  }

  tags(...asked: Parameters<Origin['tags']>): ReturnType<Origin['tags']> {
    return this.#current.tags(...asked);
  }

  referrers(...asked: Parameters<Origin['referrers']>): ReturnType<Origin['referrers']> {
    return this.#current.referrers(...asked);
  }

  blobSource(repository: Repository, digest: Digest): BlobSource {
    return this.#current.blobSource(repository, digest);
  }

  health(): OriginHealth {
    return this.#current.health();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#earlier, this.#current].map(origin => origin.close()));
  }
}
