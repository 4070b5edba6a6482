/**
 * What other nodes of the fleet may have of this node's content: held blobs and manifests, and blobs that grow just now, for
 * a repository with a link to them here (or, linked publicly, for any). It asks no upstream, makes no link, and counts as no
 * use: the asking node does all of that.
 */

import type { HeldFiles } from '../../content/held-files.ts';
import type { HotManifests } from '../../content/hot-manifests.ts';
import { waitFor } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import type { PeerBlob, PeerContent, PeerManifest, PeerRequest } from '../../registry/peer.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { Links } from '../access/links.ts';
import type { Downloads } from '../download/downloads.ts';

/** A part that begins at most this far ahead of the front will soon be here. */
const nearBytes = 8 * 1024 * 1024;

export interface CachedPeerContentOptions {
  readonly files: Pick<HeldFiles, 'open'>;
  readonly downloads: Downloads;
  readonly manifests: HotManifests;
  readonly links: Links;
  /** Undefined: no repository of a configured upstream, or not one that may be pulled. */
  record(canonicalName: string): Promise<RepositoryRecord | undefined>;
  isPublic(record: RepositoryRecord): boolean;
}

export class CachedPeerContent implements PeerContent {
  readonly #options: CachedPeerContentOptions;

  constructor(options: CachedPeerContentOptions) {
    this.#options = options;
  }

  async blob(
    request: PeerRequest,
    partFrom: number | undefined,
    signal: AbortSignal,
  ): Promise<PeerBlob | undefined> {
    const record = await this.#options.record(request.repository);
    if (record === undefined) return undefined;
    const held = await this.#options.files.open(request.digest);
    if (held === undefined)
      return request.heldOnly ? undefined : this.#openGrowing(record, request, partFrom, signal);
    if (this.#mayHave(record, request)) return { size: held.size, reader: held };
    await held.close();
    return undefined;
  }

  /** The asking node verifies it. */
  async manifest(request: PeerRequest): Promise<PeerManifest | undefined> {
    const record = await this.#options.record(request.repository);
    if (record === undefined || !this.#mayHave(record, request)) return undefined;
    const known = record.manifest(request.digest);
    return this.#options.manifests.get(request.digest, known?.mediaType);
  }

  /** A reader like any client's: it sees no byte that the front hasn't passed, and no last byte that isn't verified. */
  async #openGrowing(
    record: RepositoryRecord,
    request: PeerRequest,
    partFrom: number | undefined,
    signal: AbortSignal,
  ): Promise<PeerBlob | undefined> {
    const download = this.#options.downloads.get(request.digest);
    if (download === undefined) return undefined;
    const ingest = await waitFor(download.opened, signal);
    if (typeof ingest !== 'object' || !ingest.isOpen || ingest.failure !== undefined || download.isAbandoned)
      return undefined;
    const reader = ingest.follow();
    try {
      await waitFor(download.ready(ingest), signal); // by then the upstream's answer has made the link
      const { size } = ingest;
      const isNear =
        partFrom === undefined ||
        partFrom <= ingest.front + nearBytes ||
        ingest.readableFrom(partFrom) > partFrom;
      if (size !== undefined && isNear && this.#mayHave(record, request)) {
        reader.promise(size);
        return { size, reader };
      }
    } catch {
      // the download has failed, or the node has left
    }
    await reader.close();
    signal.throwIfAborted();
    return undefined;
  }

  /** `publicOnly`: only from a repository that is public here too. Otherwise the asking node has checked its client. */
  #mayHave(
    record: RepositoryRecord,
    { digest, publicOnly }: { digest: Digest; publicOnly: boolean },
  ): boolean {
    const { links, isPublic } = this.#options;
    return links.mayServe(record, digest) && (!publicOnly || isPublic(record));
  }
}
