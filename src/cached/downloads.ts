/** The running downloads, one per digest, shared by all upstreams of a mirror. Listable, for whoever wants to show progress. */
import type { Digest } from '../oci/digest.ts';
import type { Download } from './download.ts';

export class Downloads {
  readonly #running = new Map<Digest, { readonly download: Download; readonly ended: Promise<void> }>();

  readonly #removals = new Map<Digest, Promise<number>>();

  get(digest: Digest): Download | undefined {
    return this.#running.get(digest)?.download;
  }

  isActive(digest: Digest): boolean {
    return this.#running.has(digest);
  }

  /** Its bytes are all here and right, though it may not have its place in the store yet. */
  isVerified(digest: Digest): boolean {
    return this.#running.get(digest)?.download.isVerified ?? false;
  }

  /** On disk, of all that run. */
  get heldBytes(): number {
    return [...this.#running.values()].reduce((sum, { download }) => sum + download.heldBytes, 0);
  }

  /** Starts it, unless one runs. The entry goes when the blob is in its place or the download is over, never earlier. */
  start(digest: Digest, create: () => Download): Download {
    const running = this.get(digest);
    if (running !== undefined) return running; // two over one file would cut off each other's bytes
    const download = create();
    const ended = download.run().finally(() => this.#running.delete(digest));
    this.#running.set(digest, { download, ended });
    return download;
  }

  /** Removes a partial that nobody fills (0 bytes otherwise). A download that starts meanwhile waits for it: `removed`. */
  async removePartial(digest: Digest, remove: () => Promise<number>): Promise<number> {
    if (this.isActive(digest)) return 0;
    const removal = remove().finally(() => this.#removals.delete(digest));
    this.#removals.set(digest, removal);
    return removal;
  }

  /** Resolves when no removal of that partial runs; how it ended is for those who asked for it. */
  async removed(digest: Digest): Promise<void> {
    await this.#removals.get(digest)?.catch(() => undefined);
  }

  /** Resolves when the download of that digest, if any, has left the table. */
  async ended(digest: Digest): Promise<void> {
    await this.#running.get(digest)?.ended;
  }

  /** Resolves when none runs any more; the signal that ends them is the owner's. */
  async drained(): Promise<void> {
    await Promise.all([...this.#running.values()].map(entry => entry.ended));
  }
}
