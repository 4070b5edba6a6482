/**
 * A blob that isn't held, as a whole or a range: from the download that runs or begins, or straight through where the store
 * has no room. A client that joins another client's download needs a link first. A closed range fetches its own bytes only;
 * one that reaches the last byte, and any range of a small blob, is verified first and takes the whole download.
 */
import type { ManifestGuard } from '../../content/held-files.ts';
import type { DescriptorSizes } from '../../content/hot-manifests.ts';
import { waitFor } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import { maxManifestBytes } from '../../oci/manifest.ts';
import type { Repository } from '../../oci/name.ts';
import { type ByteRange, spanOf, unsatisfiable } from '../../oci/range.ts';
import type { BlobAnswer, BlobSource } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Ingest } from '../../store/ingest/ingest.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import { MismatchError, NoRoomError, StoreError } from '../../store/store-error.ts';
import type { Observer } from '../../telemetry/observer.ts';
import type { LinkProofs } from '../access/links.ts';
import type { Download } from '../download/download.ts';
import type { Downloads } from '../download/downloads.ts';
import { SourceList } from '../download/resume.ts';
import type { RangeRequest } from '../download/waiters.ts';
import { type ClosedRange, firstOf, isClosed, needsWhole } from './asked-range.ts';
import { awaitFirstByte, FollowerReader, wrongBytes } from './follower-reader.ts';
import type { HeldSizes } from './held-sizes.ts';
import type { Passthrough } from './passthrough.ts';
import { refuseManifest } from './small-passthrough.ts';

/** What one client asks of one blob. */
export interface BlobRequest {
  readonly record: RepositoryRecord;
  readonly repository: Repository;
  readonly digest: Digest;
  /** Undefined: the whole blob. */
  readonly range: ByteRange | undefined;
  readonly signal: AbortSignal;
  /** See `ReadOptions`. */
  readonly requestId?: string;
}

export interface ColdBlobOptions {
  /** The configured key. */
  readonly upstream: string;
  readonly downloads: Downloads;
  readonly sizes: DescriptorSizes;
  readonly heldSizes: HeldSizes;
  readonly guard: ManifestGuard;
  readonly passthrough: Passthrough;
  readonly proofs: LinkProofs;
  readonly observer: Observer;
  /** How long a client waits for the first byte. */
  readonly firstByteMs: number;
  createDownload(
    record: RepositoryRecord,
    digest: Digest,
    sources: SourceList,
    expectedSize: number | undefined,
  ): Download;
}

/** A client that has joined a download. */
interface Joined {
  readonly request: BlobRequest;
  readonly download: Download;
  readonly source: BlobSource;
  /** When the first byte must be here: on the clock of `performance.now()`. */
  readonly endsAtMs: number;
}

export class ColdBlob {
  readonly #options: ColdBlobOptions;

  constructor(options: ColdBlobOptions) {
    this.#options = options;
  }

  /** Undefined: the download ended before this client could join it; look again. Errors: UpstreamError, RANGE_INVALID. */
  async answer(request: BlobRequest): Promise<BlobAnswer | undefined> {
    const { record, repository, digest, range, signal } = request;
    const { downloads, proofs, upstream, firstByteMs } = this.#options;
    const endsAtMs = performance.now() + firstByteMs;
    const known = this.#knownSize(request) ?? (await this.#options.heldSizes.find(record, digest));
    const closed = range !== undefined && isClosed(range) ? range : undefined;
    if (closed !== undefined && closed.last < closed.first) throw unsatisfiable(known);
    const isAlone = closed !== undefined && (known === undefined || !needsWhole(closed, known));
    // A download that asks through this very repository is the proof under way: no HEAD beside it.
    const isProofUnderWay = downloads.get(digest)?.sources.has(upstream, repository) ?? true;
    if (!isProofUnderWay) await proofs.require(record, repository, digest, request);
    const source = proofs.linkingSource(record, repository, digest, request);
    const download = await this.#enter(request, source, known);
    const joined = { request, download, source, endsAtMs };
    const answer = await this.#join(joined, isAlone ? closed : undefined).finally(() => download.leave());
    if (answer === undefined && downloads.get(digest) === download)
      await waitFor(downloads.ended(digest), signal);
    return answer;
  }

  async #join(joined: Joined, range: ClosedRange | undefined): Promise<BlobAnswer | undefined> {
    const answer = range === undefined ? 'whole' : await this.#range(joined, range);
    return answer === 'whole' ? this.#whole(joined) : answer;
  }

  /** The running download of that blob, or a new one; not one that is ending. */
  async #enter(
    { record, digest, signal }: BlobRequest,
    source: BlobSource,
    known: number | undefined,
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

  async #whole(joined: Joined): Promise<BlobAnswer | undefined> {
    const { request, download, source } = joined;
    const { record, repository, digest, range, signal } = request;
    const { proofs } = this.#options;
    const outcome = download.requestWhole() ? 'miss' : 'joined';
    const opened = await waitFor(download.opened, signal);
    if (opened === 'held') return undefined;
    if (opened === 'no-room') return this.#passWhole(joined, range);
    if (!isJoinable(download, opened)) return undefined;
    const reader = this.#followWhole(joined, opened);
    try {
      await awaitFirstByte(opened, firstOf(range), {
        upstream: source.upstream,
        endsAtMs: joined.endsAtMs,
        queue: download.queue,
        signal,
      });
      await waitFor(download.ready(opened), signal).catch(error => {
        if (!(error instanceof NoRoomError)) throw error; // the reader goes on by itself then
      });
      await proofs.require(record, repository, digest, request);
      const size = opened.size;
      const isManifest = await this.#isManifest(record, digest, opened);
      if (isManifest === true) throw manifestAsBlob(source.upstream, digest);
      if (size === undefined) return { outcome, size, start: 0, end: undefined, partial: false, reader };
      reader.promise(size);
      const answer = { outcome, size, ...spanOf(range, size), partial: range !== undefined, reader } as const;
      return isManifest === undefined ? await this.#refuseManifest(request, answer) : answer;
    } catch (error) {
      await reader.close();
      if (this.#hasOtherLength(error, joined)) return undefined;
      if (error instanceof StoreError) return this.#passWhole(joined, range);
      throw error instanceof MismatchError ? wrongBytes(source.upstream, error) : error;
    }
  }

  /** Its first bytes tell it of most blobs; what may be a manifest is read whole, and so verified, before its first byte goes out. */
  async #isManifest(record: RepositoryRecord, digest: Digest, opened: Ingest): Promise<boolean | undefined> {
    const { guard } = this.#options;
    const { size } = opened;
    if (size === undefined || size > maxManifestBytes) return false;
    const known = guard.known(record, digest, size);
    if (known !== undefined) return known;
    const reader = opened.follow();
    try {
      return await guard.look(record, digest, { size, read: (into, at) => reader.read(into, at) });
    } catch (error) {
      const isOfBytes =
        error instanceof NoRoomError || error instanceof MismatchError || error instanceof StoreError;
      if (!isOfBytes) throw error;
      return undefined; // the client's own reader meets the same and knows what to do
    } finally {
      await reader.close();
    }
  }

  /** `whole`: the range needs the whole download after all, or can't be had alone. */
  async #range(joined: Joined, range: ClosedRange): Promise<BlobAnswer | undefined | 'whole'> {
    const { request, download, source } = joined;
    const { signal } = request;
    const opened = await waitFor(download.opened, signal);
    if (opened === 'held') return undefined;
    if (opened === 'no-room') return this.#passRange(joined, range);
    if (!isJoinable(download, opened)) return undefined;
    if (opened.size !== undefined && needsWhole(range, opened.size)) return 'whole';
    const ranged = download.requestRange(range.first, range.last + 1, source);
    if (ranged === undefined) return undefined;
    const reader = this.#followRange(joined, range, ranged);
    try {
      await awaitFirstByte(opened, range.first, {
        upstream: source.upstream,
        endsAtMs: joined.endsAtMs,
        queue: download.queue,
        signal,
        hasFailed: () => ranged.failure !== undefined,
      });
      await waitFor(ranged.ready(), signal);
      const answer = await this.#answerRange(request, range, opened, reader);
      if (answer === 'whole') await reader.close();
      else return { ...answer, outcome: ranged.isMiss ? 'miss' : 'joined' };
      return answer;
    } catch (error) {
      await reader.close();
      if (error instanceof NoRoomError || error instanceof StoreError) return this.#passRange(joined, range);
      if (error instanceof UpstreamError && error.failure === 'range') {
        const total = opened.size ?? error.size;
        if (total === undefined ? error.upstreamStatus === 416 : range.first >= total)
          throw unsatisfiable(total);
        return 'whole';
      }
      if (this.#hasOtherLength(error, joined)) return undefined;
      throw error instanceof MismatchError ? wrongBytes(source.upstream, error) : error;
    }
  }

  async #answerRange(
    request: BlobRequest,
    { first, last }: ClosedRange,
    ingest: Ingest,
    reader: FollowerReader,
  ): Promise<Omit<BlobAnswer, 'outcome'> | 'whole'> {
    await this.#options.proofs.require(request.record, request.repository, request.digest, request);
    const { size } = ingest;
    if (size !== undefined && first >= size) throw unsatisfiable(size);
    if (size === undefined || needsWhole({ first, last }, size)) return 'whole';
    reader.promise(size);
    return { size, start: first, end: last + 1, partial: true, reader };
  }

  /** To the blob's end, from wherever its client begins. */
  #followWhole({ request: { digest }, download, source }: Joined, ingest: Ingest): FollowerReader {
    const { passthrough, observer } = this.#options;
    return new FollowerReader({
      ...{ follower: ingest.follow(), digest, observer, upstream: source.upstream },
      continueFrom: (room, at, promised) => {
        const isAsPromised = room.front === 0 && room.size === promised;
        const transfer = isAsPromised ? download.takeHandoff() : undefined;
        return transfer === undefined
          ? passthrough.continueFrom(digest, source, room, at, promised)
          : passthrough.over(digest, source, transfer, room.size);
      },
    });
  }

  /** A range that ends before the last byte. */
  #followRange(
    { request: { digest }, source }: Joined,
    { last }: ClosedRange,
    ranged: RangeRequest,
  ): FollowerReader {
    const { passthrough, observer } = this.#options;
    return new FollowerReader({
      ...{ follower: ranged.follower, digest, observer, upstream: source.upstream },
      continueFrom: (_room, at, promised) => passthrough.restOfRange(digest, source, at, last + 1, promised),
      onClose: () => ranged.leave(),
    });
  }

  /** The store has no room for it. */
  async #passRange(joined: Joined, range: ClosedRange): Promise<BlobAnswer> {
    const { request, source } = joined;
    const size = this.#knownSize(request);
    const answer = await this.#options.passthrough.range(request.digest, source, range, size, request.signal);
    return answer === 'needs-whole' ? this.#passWhole(joined, range) : answer;
  }

  async #passWhole({ request, source }: Joined, range: ByteRange | undefined): Promise<BlobAnswer> {
    const { digest, signal } = request;
    return this.#refuseManifest(
      request,
      await this.#options.passthrough.whole(digest, source, range, signal),
    );
  }

  #refuseManifest({ record, digest }: BlobRequest, answer: BlobAnswer): Promise<BlobAnswer> {
    const { guard, upstream } = this.#options;
    return refuseManifest(answer, record, digest, guard, () => manifestAsBlob(upstream, digest));
  }

  #knownSize({ record, digest }: BlobRequest): number | undefined {
    return this.#options.sizes.get(record.name, digest);
  }

  /** It failed by the length in another repository's manifest, which says nothing about this repository's. */
  #hasOtherLength(error: unknown, { request, download }: Joined): boolean {
    const isLength = error instanceof UpstreamError && error.failure === 'mismatch';
    return isLength && download.expectedSize !== this.#knownSize(request);
  }
}

function isJoinable(download: Download, ingest: Ingest): boolean {
  const { isOpen, failure } = ingest;
  return isOpen && !download.isAbandoned && (failure === undefined || failure instanceof NoRoomError);
}

export function manifestAsBlob(upstream: string, digest: Digest): UpstreamError {
  const message = `${digest} is a manifest, it is served under /manifests/`;
  return new UpstreamError({ upstream, kind: 'blob', failure: 'gone', message });
}
