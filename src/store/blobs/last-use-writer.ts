/**
 * Writes the last use and the last verification of blobs to the times of their files, from which a lost LRU index is rebuilt. Both are
 * collected and written every 30 s, a few files at a time, so a hit costs no disk write.
 */
import type { Digest } from '../../oci/digest.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { BlobStore } from './blob-store.ts';

export interface LastUseWriterOptions {
  readonly store: Pick<BlobStore, 'setLastUse' | 'setVerified'>;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

const everyMs = 30_000;
const filesAtOnce = 4;

export class LastUseWriter {
  readonly #options: LastUseWriterOptions;
  readonly #timer: NodeJS.Timeout;
  #touched = new Map<Digest, number>();
  #verified = new Map<Digest, number>();
  #running: Promise<void> = Promise.resolve();

  constructor(options: LastUseWriterOptions) {
    this.#options = options;
    this.#timer = setInterval(() => void this.flush(), everyMs).unref();
  }

  /** Synchronous, no I/O. */
  touch(digest: Digest): void {
    this.#touched.set(digest, this.#options.now());
  }

  /** Its bytes were just compared with its digest. Synchronous, no I/O. */
  verified(digest: Digest): void {
    this.#verified.set(digest, this.#options.now());
  }

  /** Resolves when everything noted so far is written. Never throws. */
  flush(): Promise<void> {
    const { store } = this.#options;
    const touched = this.#touched;
    const verified = this.#verified;
    this.#touched = new Map();
    this.#verified = new Map();
    this.#running = this.#running
      .then(() => this.#write(touched, 'last uses', (digest, ms) => store.setLastUse(digest, ms)))
      .then(() => this.#write(verified, 'verifications', (digest, ms) => store.setVerified(digest, ms)));
    return this.#running;
  }

  /** Idempotent. */
  close(): Promise<void> {
    clearInterval(this.#timer);
    return this.flush();
  }

  async #write(
    times: ReadonlyMap<Digest, number>,
    what: string,
    set: (digest: Digest, ms: number) => Promise<void>,
  ): Promise<void> {
    let failed = 0;
    const left = times.entries();
    const write = async () => {
      for (const [digest, ms] of left) {
        await set(digest, ms).catch(() => {
          failed += 1; // the store reports each; here they make one log line
        });
      }
    };
    await Promise.all(Array.from({ length: filesAtOnce }, write));
    if (failed > 0) this.#options.logger.warn(`${what} could not be written`, { failed, of: times.size });
  }
}
