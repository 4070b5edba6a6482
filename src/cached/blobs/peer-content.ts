/**
 * What other nodes of the fleet may have of this one's: what is held, and what is being filled just now, for a repository
 * that it is linked to here (or, held publicly, for any). It never asks an upstream, makes no link and counts as no use: the
 * asking node has its own.
 */

import type { HeldFiles } from '../../content/held-files.ts';
import type { HotManifests } from '../../content/hot-manifests.ts';
import { waitFor } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import { octetStream } from '../../oci/media-type.ts';
import type { PeerBlob, PeerContent, PeerManifest, PeerRequest } from '../../registry/peer.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { Links } from '../access/links.ts';
import type { Downloads } from '../download/downloads.ts';

/** A part that begins this little ahead of the front will soon be here. */
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
    question: PeerRequest,
    partFrom: number | undefined,
    signal: AbortSignal,
  ): Promise<PeerBlob | undefined> {
    const record = await this.#options.record(question.repository);
    if (record === undefined) return undefined;
    const held = await this.#options.files.open(question.digest);
    if (held === undefined)
      return question.heldOnly ? undefined : this.#growing(record, question, partFrom, signal);
    if (this.#mayHave(record, question)) return { size: held.size, reader: held };
    await held.close();
    return undefined;
  }

  /** Verified by who asks. */
  async manifest(question: PeerRequest): Promise<PeerManifest | undefined> {
    const record = await this.#options.record(question.repository);
    if (record === undefined || !this.#mayHave(record, question)) return undefined;
    const known = record.manifest(question.digest);
    return this.#options.manifests.get(question.digest, known?.mediaType ?? octetStream);
  }

  /** A reader like any client's: it sees no byte that the front hasn't passed, and no last byte that isn't verified. */
  async #growing(
    record: RepositoryRecord,
    question: PeerRequest,
    partFrom: number | undefined,
    signal: AbortSignal,
  ): Promise<PeerBlob | undefined> {
    const download = this.#options.downloads.get(question.digest);
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
      if (size !== undefined && isNear && this.#mayHave(record, question)) {
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

  /** For anybody: only from a repository that is public here, too. Otherwise the asking node knows who asks. */
  #mayHave(
    record: RepositoryRecord,
    { digest, publicOnly }: { digest: Digest; publicOnly: boolean },
  ): boolean {
    const { links, isPublic } = this.#options;
    return links.mayServe(record, digest) && (!publicOnly || isPublic(record));
  }
}
