/**
 * Blobs: held ones from the store, cold ones from one shared download, and what the store can't keep straight through.
 * Decides which of the three a request gets, and checks its link first in each of them.
 */
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Origin } from '../registry/origin.ts';
import type { BlobAnswer, BlobSource, ReadOptions, StatAnswer } from '../registry/registry.ts';
import { UpstreamError } from '../registry/upstream-error.ts';
import { verifyFirstBytes } from '../store/hold-back.ts';
import type { Ingest } from '../store/ingest.ts';
import { MismatchError, NoRoomError } from '../store/ingest-error.ts';
import type { RepositoryRecord } from '../store/repository-record.ts';
import { StoreError } from '../store/store-error.ts';
import type { Observer, Outcome } from '../telemetry/observer.ts';
import { type AskedBlob, spanOf } from './asked-blob.ts';
import type { DescriptorSizes } from './descriptor-sizes.ts';
import type { Download } from './download.ts';
import type { Downloads } from './downloads.ts';
import { FollowingReader } from './following.ts';
import { HeldBlobs } from './held-blobs.ts';
import type { HeldFiles } from './held-files.ts';
import { LinkProofs } from './link-proofs.ts';
import type { Links } from './links.ts';
import { type ClosedRange, type Passages, wrongBytes } from './passages.ts';
import { SourceList } from './source-list.ts';
import type { Suspects } from './suspects.ts';
import { waitFor } from './wait.ts';

/** A closed range that starts this little beyond the front of a running download waits for it. */
const nearBytes = 8 * 1024 * 1024;
const maxTries = 4;

export interface CachedBlobOptions {
  readonly origin: Origin;
  readonly files: HeldFiles;
  readonly downloads: Downloads;
  readonly links: Links;
  readonly sizes: DescriptorSizes;
  readonly suspects: Suspects;
  readonly passages: Passages;
  isPublic(record: RepositoryRecord): boolean;
  readonly observer: Observer;
  readonly signal: AbortSignal;
  touch(digest: Digest): void;
  createDownload(
    record: RepositoryRecord,
    digest: Digest,
    sources: SourceList,
    expectedSize: number | undefined,
  ): Download;
}

export class CachedBlob {
  readonly #options: CachedBlobOptions;
  readonly #proofs: LinkProofs;
  readonly #held: HeldBlobs;

  constructor(options: CachedBlobOptions) {
    this.#options = options;
    this.#proofs = new LinkProofs(options);
    this.#held = new HeldBlobs({ ...options, proofs: this.#proofs });
  }

  /** HEAD: downloads nothing; at most one upstream HEAD. Errors: UpstreamError. */
  async stat(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    options: ReadOptions,
  ): Promise<StatAnswer> {
    const { links, downloads, sizes, files } = this.#options;
    if (links.mayServe(record, digest)) {
      const held = await files.sizeOf(digest);
      if (held !== undefined) return { outcome: 'hit', size: held };
      const opened = await downloads.get(digest)?.opened;
      if (typeof opened === 'object' && opened.size !== undefined)
        return { outcome: 'joined', size: opened.size };
    }
    const known = sizes.get(record.name, digest);
    if (known !== undefined) return { outcome: 'hit', size: known };
    const size = await this.#proofs.ask(record, repository, digest, options.signal);
    return { outcome: 'miss', size: size ?? (await files.sizeOf(digest)) };
  }

  /** GET. Errors: UpstreamError, RANGE_INVALID. */
  async blob(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    const asked = { record, repository, digest };
    const isRepeated = this.#held.isRepeated(digest, range, options.client);
    return this.#answer(asked, this.#trusted(digest, range), options, isRepeated);
  }

  async #answer(
    asked: AskedBlob,
    wanted: ByteRange | undefined,
    options: ReadOptions,
    isRepeated: boolean,
  ): Promise<BlobAnswer> {
    const { downloads } = this.#options;
    const { record, repository, digest } = asked;
    const known = this.#options.sizes.get(record.name, digest);
    const again = () => this.#answer(asked, wanted, options, false);
    for (let tries = 1; tries <= maxTries; tries += 1) {
      const { signal } = options;
      const held = await this.#held.open({ asked, range: wanted, signal, isRepeated, again });
      if (held !== undefined) return held;
      // A download that asks through this very repository is the proof under way: no HEAD beside it.
      const proving = downloads.get(digest)?.sources.has(this.#options.origin.key, repository) ?? true;
      if (!proving) await this.#proofs.require(record, repository, digest, options.signal);
      let running = downloads.get(digest);
      const source = this.#proofs.linkingSource(record, repository, digest);
      if (
        running === undefined &&
        wanted !== undefined &&
        isClosed(wanted) &&
        !(known !== undefined && endsAtEnd(wanted, known))
      ) {
        const passed = await this.#options.passages.range(digest, source, wanted, known, options.signal);
        if (passed !== 'ends-at-end') return passed;
        running = downloads.get(digest); // somebody else may have asked for all of it meanwhile
      }
      running?.sources.add(source);
      const download =
        running ??
        downloads.start(digest, () =>
          this.#options.createDownload(record, digest, new SourceList([source]), known),
        );
      const answer = await this.#follow(
        download,
        asked,
        source,
        wanted,
        running === undefined ? 'miss' : 'joined',
        options.signal,
      );
      if (answer !== undefined) return answer;
      if (downloads.get(digest) === download) await waitFor(downloads.ended(digest), options.signal);
    }
    throw new UpstreamError({
      upstream: this.#options.origin.key,
      kind: 'blob',
      failure: 'unreachable',
      message: `${digest} was downloaded and was gone again, ${maxTries} times`,
    });
  }

  /** Undefined: the download ended before this client could join it; look again. */
  async #follow(
    download: Download,
    { record, repository, digest }: AskedBlob,
    source: BlobSource,
    wanted: ByteRange | undefined,
    outcome: Outcome,
    signal: AbortSignal,
  ): Promise<BlobAnswer | undefined> {
    const opened = await waitFor(download.opened, signal);
    if (opened === 'held') return undefined;
    if (opened === 'no-room') return this.#options.passages.whole(digest, source, wanted, signal);
    if (!isJoinable(download, opened)) return undefined;
    if (wanted !== undefined && isClosed(wanted) && isFar(wanted, opened)) {
      const passed = await this.#options.passages.range(digest, source, wanted, opened.size, signal);
      if (passed !== 'ends-at-end') return passed;
      if (!isJoinable(download, opened)) return undefined;
    }
    const reader = this.#readerOver(download, opened, digest, source);
    try {
      await waitFor(download.ready(opened), signal).catch(error => {
        if (!(error instanceof NoRoomError)) throw error; // the reader goes on by itself then
      });
      await this.#proofs.require(record, repository, digest, signal);
      const size = opened.size;
      if (size === undefined) return { outcome, size, start: 0, end: undefined, partial: false, reader };
      reader.promise(size);
      return { outcome, size, ...spanOf(wanted, size), partial: wanted !== undefined, reader };
    } catch (error) {
      await reader.close();
      if (isOthersLength(error, download, this.#options.sizes.get(record.name, digest))) return undefined;
      if (error instanceof StoreError) return this.#options.passages.whole(digest, source, wanted, signal);
      if (error instanceof MismatchError) throw wrongBytes(source.upstream, error);
      throw error;
    }
  }

  #readerOver(download: Download, ingest: Ingest, digest: Digest, source: BlobSource): FollowingReader {
    const { observer, passages } = this.#options;
    observer.followerJoined(source.upstream);
    const switchOver = (room: NoRoomError, at: number, promised = room.size) => {
      if (room.size !== undefined && room.size !== promised) throw new MismatchError(digest);
      const isAsPromised = room.front === 0 && room.size === promised;
      const leftover = isAsPromised ? download.takeLeftover() : undefined;
      return leftover === undefined
        ? passages.continueFrom(digest, source, room, at, promised)
        : passages.over(digest, source, leftover, room.size);
    };
    const explain = (error: unknown) =>
      error instanceof MismatchError ? wrongBytes(source.upstream, error) : error;
    const onClose = () => observer.followerLeft(source.upstream);
    return new FollowingReader(ingest.follow(), { switchOver, explain, onClose });
  }

  /** After wrong bytes a range that starts above 0 is set aside for a minute. */
  #trusted(digest: Digest, range: ByteRange | undefined): ByteRange | undefined {
    if (range === undefined || !this.#options.suspects.has(digest)) return range;
    return 'first' in range && range.first === 0 ? range : undefined;
  }
}

function isClosed(range: ByteRange): range is ClosedRange {
  return 'first' in range && range.last !== undefined;
}

function isJoinable(download: Download, ingest: Ingest): boolean {
  const { isOpen, failure } = ingest;
  return isOpen && !download.isAbandoned && (failure === undefined || failure instanceof NoRoomError);
}

/** It failed by the length that another repository's manifest gave, which says nothing about this one's. */
function isOthersLength(error: unknown, download: Download, known: number | undefined): boolean {
  return error instanceof UpstreamError && error.failure === 'mismatch' && download.expectedSize !== known;
}

/** All of a small blob is verified first, and a last byte needs all before it: both are worth a download. */
function endsAtEnd(range: ClosedRange, size: number): boolean {
  return range.last >= size - 1 || size <= verifyFirstBytes;
}

function isFar(range: ClosedRange, ingest: Ingest): boolean {
  if (ingest.verified || (ingest.size !== undefined && endsAtEnd(range, ingest.size))) return false;
  return range.first > ingest.front + nearBytes;
}
