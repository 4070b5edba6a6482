/**
 * A blob that isn't held: from the download that runs or begins, as a whole or a range of it; straight through where the
 * store has no room. Whoever joins a download that others started needs a link first.
 *
 * A closed range that ends before the last byte asks for its own bytes and no more. What reaches the last byte, and all of
 * a small blob, is verified first: that takes all of it.
 */

import { waitFor } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import type { ByteRange } from '../../oci/range.ts';
import type { Origin } from '../../registry/origin.ts';
import type { BlobAnswer, BlobSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import { verifyFirstBytes } from '../../store/ingest/release-policy.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import { MismatchError, NoRoomError, StoreError } from '../../store/store-error.ts';
import type { LinkProofs } from '../access/link-proofs.ts';
import type { Download } from '../download/download.ts';
import type { Downloads } from '../download/downloads.ts';
import { SourceList } from '../download/source-list.ts';
import type { DescriptorSizes } from '../manifests/descriptor-sizes.ts';
import { type AskedBlob, spanOf } from './asked-blob.ts';
import type { FollowerReader } from './follower-reader.ts';
import { type ClosedRange, type Passthrough, unsatisfiable, wrongBytes } from './passthrough.ts';
import type { Readers } from './readers.ts';

export interface ColdBlobOptions {
  readonly origin: Pick<Origin, 'key'>;
  readonly downloads: Downloads;
  readonly sizes: DescriptorSizes;
  readonly passages: Passthrough;
  readonly proofs: LinkProofs;
  readonly readers: Readers;
  createDownload(
    record: RepositoryRecord,
    digest: Digest,
    sources: SourceList,
    expectedSize: number | undefined,
  ): Download;
}

/** What a client has joined. */
interface Joined {
  readonly asked: AskedBlob;
  readonly download: Download;
  readonly source: BlobSource;
  readonly signal: AbortSignal;
}

export class ColdBlob {
  readonly #options: ColdBlobOptions;

  constructor(options: ColdBlobOptions) {
    this.#options = options;
  }

  /** Undefined: the download ended before this client could join it; look again. Errors: UpstreamError, RANGE_INVALID. */
  async answer(
    asked: AskedBlob,
    wanted: ByteRange | undefined,
    signal: AbortSignal,
  ): Promise<BlobAnswer | undefined> {
    const { record, repository, digest } = asked;
    const { downloads, proofs, origin } = this.#options;
    const known = this.#known(asked);
    const closed = wanted !== undefined && isClosed(wanted) ? wanted : undefined;
    if (closed !== undefined && closed.last < closed.first) throw unsatisfiable(known);
    const range = closed !== undefined && known !== undefined && needsAll(closed, known) ? undefined : closed;
    // A download that asks through this very repository is the proof under way: no HEAD beside it.
    const proving = downloads.get(digest)?.sources.has(origin.key, repository) ?? true;
    if (!proving) await proofs.require(record, repository, digest, signal);
    const source = proofs.linkingSource(record, repository, digest);
    const download = await this.#enter(asked, source, known, signal);
    const joined = { asked, download, source, signal };
    const answer = await this.#join(joined, wanted, range).finally(() => download.leave());
    if (answer === undefined && downloads.get(digest) === download)
      await waitFor(downloads.ended(digest), signal);
    return answer;
  }

  async #join(
    joined: Joined,
    wanted: ByteRange | undefined,
    range: ClosedRange | undefined,
  ): Promise<BlobAnswer | undefined> {
    const ranged = range === undefined ? 'whole' : await this.#range(joined, range);
    return ranged === 'whole' ? this.#whole(joined, wanted) : ranged;
  }

  /** The running download of that blob, or a new one; not one that is ending. */
  async #enter(
    { record, digest }: AskedBlob,
    source: BlobSource,
    known: number | undefined,
    signal: AbortSignal,
  ): Promise<Download> {
    const { downloads, createDownload } = this.#options;
    for (;;) {
      const running = downloads.get(digest);
      running?.sources.add(source);
      const download =
        running ??
        downloads.start(digest, () => createDownload(record, digest, new SourceList([source]), known));
      if (download.enter()) return download;
      await waitFor(downloads.ended(digest), signal);
    }
  }

  async #whole(joined: Joined, wanted: ByteRange | undefined): Promise<BlobAnswer | undefined> {
    const { asked, download, source, signal } = joined;
    const { record, repository, digest } = asked;
    const { passages, proofs, readers } = this.#options;
    const outcome = download.wantWhole() ? 'miss' : 'joined';
    const opened = await waitFor(download.opened, signal);
    if (opened === 'held') return undefined;
    if (opened === 'no-room') return passages.whole(digest, source, wanted, signal);
    if (!isJoinable(download, opened)) return undefined;
    const reader = readers.ofWhole(download, opened.follow(), digest, source);
    try {
      await waitFor(download.ready(opened), signal).catch(error => {
        if (!(error instanceof NoRoomError)) throw error; // the reader goes on by itself then
      });
      await proofs.require(record, repository, digest, signal);
      const size = opened.size;
      if (size === undefined) return { outcome, size, start: 0, end: undefined, partial: false, reader };
      reader.promise(size);
      return { outcome, size, ...spanOf(wanted, size), partial: wanted !== undefined, reader };
    } catch (error) {
      await reader.close();
      if (this.#isOthersLength(error, joined)) return undefined;
      if (error instanceof StoreError) return passages.whole(digest, source, wanted, signal);
      throw error instanceof MismatchError ? wrongBytes(source.upstream, error) : error;
    }
  }

  /** `whole`: it needs all of the blob after all, or can't be had alone. */
  async #range(joined: Joined, range: ClosedRange): Promise<BlobAnswer | undefined | 'whole'> {
    const { asked, download, source, signal } = joined;
    const { digest } = asked;
    const opened = await waitFor(download.opened, signal);
    if (opened === 'held') return undefined;
    if (opened === 'no-room') return this.#past(joined, range);
    if (!isJoinable(download, opened)) return undefined;
    if (opened.size !== undefined && needsAll(range, opened.size)) return 'whole';
    const demand = download.wantRange(range.first, range.last + 1, source);
    if (demand === undefined) return undefined;
    const reader = this.#options.readers.ofRange(demand, range, digest, source);
    try {
      await waitFor(demand.ready(), signal);
      const answer = await this.#rangeOf(joined, range, opened, reader);
      if (answer === 'whole') await reader.close();
      else return { ...answer, outcome: demand.isMiss ? 'miss' : 'joined' };
      return answer;
    } catch (error) {
      await reader.close();
      if (error instanceof NoRoomError || error instanceof StoreError) return this.#past(joined, range);
      const refusal = error instanceof UpstreamError && error.failure === 'range' ? error : undefined;
      if (refusal !== undefined) {
        const total = opened.size ?? refusal.size;
        if (total === undefined ? refusal.upstreamStatus === 416 : range.first >= total)
          throw unsatisfiable(total);
        return 'whole';
      }
      if (this.#isOthersLength(error, joined)) return undefined;
      throw error instanceof MismatchError ? wrongBytes(source.upstream, error) : error;
    }
  }

  async #rangeOf(
    { asked, signal }: Joined,
    { first, last }: ClosedRange,
    ingest: Ingest,
    reader: FollowerReader,
  ): Promise<Omit<BlobAnswer, 'outcome'> | 'whole'> {
    await this.#options.proofs.require(asked.record, asked.repository, asked.digest, signal);
    const { size } = ingest;
    if (size !== undefined && first >= size) throw unsatisfiable(size);
    if (size === undefined || needsAll({ first, last }, size)) return 'whole';
    reader.promise(size);
    return { size, start: first, end: last + 1, partial: true, reader };
  }

  /** The store has no room for it. */
  async #past({ asked, source, signal }: Joined, range: ClosedRange): Promise<BlobAnswer> {
    const { passages } = this.#options;
    const passed = await passages.range(asked.digest, source, range, this.#known(asked), signal);
    return passed === 'ends-at-end' ? passages.whole(asked.digest, source, range, signal) : passed;
  }

  #known({ record, digest }: AskedBlob): number | undefined {
    return this.#options.sizes.get(record.name, digest);
  }

  /** It failed by the length that another repository's manifest gave, which says nothing about this one's. */
  #isOthersLength(error: unknown, { asked, download }: Joined): boolean {
    const isLength = error instanceof UpstreamError && error.failure === 'mismatch';
    return isLength && download.expectedSize !== this.#known(asked);
  }
}

function isClosed(range: ByteRange): range is ClosedRange {
  return 'first' in range && range.last !== undefined;
}

function isJoinable(download: Download, ingest: Ingest): boolean {
  const { isOpen, failure } = ingest;
  return isOpen && !download.isAbandoned && (failure === undefined || failure instanceof NoRoomError);
}

/** All of a small blob is verified first, and a last byte needs all before it: both are worth a download. */
function needsAll(range: ClosedRange, size: number): boolean {
  return range.last >= size - 1 || size <= verifyFirstBytes;
}
