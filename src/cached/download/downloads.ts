/** The running downloads, one per digest, shared by all upstreams of a mirror, and how far each of them is. */
import type { Digest } from '../../oci/digest.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import type { Download } from './download.ts';

/** How far a download is. Bytes. */
export interface DownloadProgress {
  readonly digest: Digest;
  /** Which it reads from now. */
  readonly upstream: string;
  readonly repository: string;
  readonly frontBytes: number;
  readonly sizeBytes: number | undefined;
  readonly followers: number;
  /** On average since it began. */
  readonly bytesPerSecond: number;
}

interface Running {
  readonly download: Download;
  readonly ended: Promise<void>;
  /** On a monotonic clock. */
  readonly startedMs: number;
  /** Undefined until it is opened. */
  ingest: Ingest | undefined;
  /** On disk from an earlier try. */
  earlierBytes: number;
}

export interface DownloadsOptions {
  /** A download begins. */
  started?(digest: Digest): void;
}

export class Downloads {
  readonly #options: DownloadsOptions;
  readonly #running = new Map<Digest, Running>();
  readonly #removals = new Map<Digest, Promise<number>>();

  constructor(options: DownloadsOptions = {}) {
    this.#options = options;
  }

  get(digest: Digest): Download | undefined {
    return this.#running.get(digest)?.download;
  }

  isActive(digest: Digest): boolean {
    return this.#running.has(digest);
  }

  get count(): number {
    return this.#running.size;
  }

  /** Its bytes are all here and right, though it may not have its place in the store yet. */
  isVerified(digest: Digest): boolean {
    return this.#running.get(digest)?.download.isVerified ?? false;
  }

  /** On disk, of all running downloads. */
  get heldBytes(): number {
    return [...this.#running.values()].reduce((sum, { download }) => sum + download.heldBytes, 0);
  }

  /** Starts it, unless one runs. The entry goes when the blob is in its place or the download is over, never earlier. */
  start(digest: Digest, create: () => Download): Download {
    const running = this.get(digest);
    if (running !== undefined) return running; // two downloads into one file would cut off each other's bytes
    const download = create();
    this.#options.started?.(digest);
    const ended = download.run().finally(() => this.#running.delete(digest));
    const startedMs = performance.now();
    const entry: Running = { download, ended, startedMs, ingest: undefined, earlierBytes: 0 };
    this.#running.set(digest, entry);
    void download.opened.then(opened => {
      if (typeof opened !== 'object') return;
      entry.ingest = opened;
      entry.earlierBytes = opened.heldBytes;
    });
    return download;
  }

  /** Of all running downloads, in the order in which they began. */
  *progress(): Iterable<DownloadProgress> {
    for (const [digest, { download, startedMs, ingest, earlierBytes }] of this.#running) {
      if (download.sources.exhausted) continue; // all sources have refused: it is ending
      const { upstream, repository } = download.sources.current();
      const seconds = Math.max(0.001, (performance.now() - startedMs) / 1000);
      yield {
        digest,
        upstream,
        repository,
        frontBytes: ingest?.front ?? 0,
        sizeBytes: ingest?.size ?? download.expectedSize,
        followers: ingest?.followers ?? 0,
        bytesPerSecond: Math.max(0, Math.round(((ingest?.heldBytes ?? 0) - earlierBytes) / seconds)),
      };
    }
  }

  /** Removes a partial without a running download (0 bytes otherwise). A download that starts meanwhile waits: `removed`. */
  async removePartial(digest: Digest, remove: () => Promise<number>): Promise<number> {
    if (this.isActive(digest)) return 0;
    const removal = remove().finally(() => this.#removals.delete(digest));
    this.#removals.set(digest, removal);
    return removal;
  }

  /** Resolves when no removal of that partial runs, whether it failed or not. */
  async removed(digest: Digest): Promise<void> {
    await this.#removals.get(digest)?.catch(() => undefined);
  }

  /** Resolves when the download of that digest, if any, has left the table. */
  async ended(digest: Digest): Promise<void> {
    await this.#running.get(digest)?.ended;
  }

  /** Resolves when no download runs any more. The owner's signal ends them. */
  async drained(): Promise<void> {
    await Promise.all([...this.#running.values()].map(entry => entry.ended));
  }
}
