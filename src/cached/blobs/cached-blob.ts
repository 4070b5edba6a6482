/**
 * Blobs of one upstream, through the cache: held ones from the store, the others by `cold-blob.ts`. A repository's link is
 * checked first in either case, and each answer from the store counts as a use. A file of an odd length, an old one, or one
 * that a client asks for again at once is compared with its digest while it goes out (up to `verifyFirstBytes`: before).
 */

import type { ContentEvents, RecentMismatches } from '../../content/bad-blobs.ts';
import type { BlobCheck } from '../../content/blob-checks.ts';
import { type HeldFiles, HeldReader, type ManifestGuard } from '../../content/held-files.ts';
import type { DescriptorSizes } from '../../content/hot-manifests.ts';
import { waitFor } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Repository } from '../../oci/name.ts';
import { type ByteRange, spanOf } from '../../oci/range.ts';
import { type Origin, traceOf } from '../../registry/origin.ts';
import type { BlobAnswer, BlobReader, ReadOptions, StatAnswer } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { HeldBlob } from '../../store/blobs/held-blob.ts';
import { verifyFirstBytes } from '../../store/ingest/follower.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import { StoreError } from '../../store/store-error.ts';
import type { Observer } from '../../telemetry/observer.ts';
import { LinkProofs, type Links } from '../access/links.ts';
import type { Downloads } from '../download/downloads.ts';
import { type BlobRequest, ColdBlob, type ColdBlobOptions } from './cold-blob.ts';
import type { HeldSizes } from './held-sizes.ts';
import type { Passthrough } from './passthrough.ts';
import { manifestAsBlob } from './small-passthrough.ts';

const maxTries = 4;
/** A blob that is asked for again and again, perhaps by many clients of one address, is not compared more often than that. */
const repeatCheckMs = 10 * 60_000;

export interface CachedBlobOptions {
  readonly origin: Origin;
  readonly files: HeldFiles;
  readonly downloads: Downloads;
  readonly sizes: DescriptorSizes;
  readonly heldSizes: HeldSizes;
  readonly guard: ManifestGuard;
  readonly passthrough: Passthrough;
  readonly links: Links;
  readonly recentMismatches: RecentMismatches;
  readonly observer: Observer;
  /** Aborted at shutdown. */
  readonly signal: AbortSignal;
  isPublic(record: RepositoryRecord): boolean;
  readonly events: Pick<ContentEvents, 'touch'>;
  readonly firstByteMs: number;
  readonly createDownload: ColdBlobOptions['createDownload'];
}

export class CachedBlob {
  readonly #options: CachedBlobOptions;
  readonly #proofs: LinkProofs;
  readonly #cold: ColdBlob;
  readonly #guard: ManifestGuard;

  constructor(options: CachedBlobOptions) {
    const { origin, links, downloads, sizes, passthrough, observer, signal } = options;
    const { firstByteMs, createDownload } = options;
    const upstream = origin.key;
    this.#options = options;
    const proofs = new LinkProofs({ origin, links, signal, isPublic: record => options.isPublic(record) });
    this.#proofs = proofs;
    this.#guard = options.guard;
    const { heldSizes, guard } = options;
    const shared = { upstream, downloads, sizes, heldSizes, guard, passthrough, proofs, observer };
    this.#cold = new ColdBlob({ ...shared, firstByteMs, createDownload });
  }

  /** HEAD: downloads nothing; at most one upstream HEAD. Errors: UpstreamError. */
  async stat(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    options: ReadOptions,
  ): Promise<StatAnswer> {
    const { links, downloads, sizes, files } = this.#options;
    if (this.#guard.isNamed(record, digest)) throw this.#isManifest(digest);
    if (links.mayServe(record, digest)) {
      const held = await files.sizeOf(digest);
      if (held !== undefined) await this.#refuseManifest(record, digest, held);
      if (held !== undefined) return { outcome: 'hit', size: held };
      const opened = await downloads.get(digest)?.opened;
      if (typeof opened === 'object' && opened.size !== undefined) {
        if (this.#guard.known(record, digest, opened.size) === true) throw this.#isManifest(digest);
        return { outcome: 'joined', size: opened.size };
      }
    }
    const known = sizes.get(record.name, digest) ?? (await this.#options.heldSizes.find(record, digest));
    if (known !== undefined) return { outcome: 'hit', size: known };
    const held = await files.sizeOf(digest);
    const size = await this.#proofs.ask(record, repository, digest, options, held !== undefined);
    if (held !== undefined) await this.#refuseManifest(record, digest, held);
    return { outcome: 'miss', size: size ?? held };
  }

  /** GET. Errors: UpstreamError, RANGE_INVALID. */
  async blob(
    record: RepositoryRecord,
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    const { client, signal } = options;
    if (this.#guard.isNamed(record, digest)) throw this.#isManifest(digest);
    const isRepeated =
      isWhole(range) && client !== undefined && this.#options.files.noteRequest(client, digest);
    const trusted = this.#trustedRange(digest, range);
    return this.#answer(
      { record, repository, digest, range: trusted, signal, ...traceOf(options) },
      isRepeated,
    );
  }

  /** `isRepeated`: the same client had the whole blob a moment ago. */
  async #answer(request: BlobRequest, isRepeated: boolean): Promise<BlobAnswer> {
    for (let tries = 1; tries <= maxTries; tries += 1) {
      const answer = (await this.#answerHeld(request, isRepeated)) ?? (await this.#cold.answer(request));
      if (answer !== undefined) return answer;
    }
    throw new UpstreamError({
      upstream: this.#options.origin.key,
      kind: 'blob',
      failure: 'unreachable',
      message: `the store lost ${request.digest} right after its download, ${maxTries} times`,
    });
  }

  /** After wrong bytes a range that starts above 0 is set aside for a minute. */
  #trustedRange(digest: Digest, range: ByteRange | undefined): ByteRange | undefined {
    if (range === undefined || !this.#options.recentMismatches.has(digest)) return range;
    return 'first' in range && range.first === 0 ? range : undefined;
  }

  /** Undefined: not held, or bad and gone now. Errors: UpstreamError (without a link), RANGE_INVALID. */
  async #answerHeld(request: BlobRequest, isRepeated: boolean): Promise<BlobAnswer | undefined> {
    const { record, repository, digest, range, signal } = request;
    const held = await this.#options.files.open(digest);
    if (held === undefined) return undefined;
    try {
      await this.#proofs.require(record, repository, digest, request);
      const isOdd = held.size !== (this.#options.sizes.get(record.name, digest) ?? held.size);
      const check = this.#checkFor(digest, held, isRepeated || isOdd);
      const isCheckedFirst = isOdd || held.size <= verifyFirstBytes;
      if (check !== undefined && isCheckedFirst && (await waitFor(check.result, signal)) !== 'good') {
        await held.close();
        return undefined;
      }
      const isManifest =
        this.#guard.known(record, digest, held.size) ?? (await this.#look(record, digest, held));
      if (isManifest === 'unreadable') {
        await held.close();
        return undefined;
      }
      if (isManifest) throw this.#isManifest(digest);
      const span = spanOf(range, held.size);
      this.#options.events.touch(digest);
      const isVerifiedFile = check === undefined || check.known === 'good';
      const found = { outcome: 'hit', size: held.size, isVerifiedFile } as const;
      const answer = { ...found, ...span, partial: range !== undefined };
      const reader = new HeldReader({
        digest,
        held,
        check,
        unreadable: error => this.#options.files.bad.unreadable(digest, held.fileId, 'blob', error),
        replace: () => this.#replace(request, answer),
      });
      return { ...answer, reader };
    } catch (error) {
      await held.close();
      throw error;
    }
  }

  /** Looks at the bytes, whose damage the check of the blob finds. A file that can't be read is set aside. */
  async #look(record: RepositoryRecord, digest: Digest, held: HeldBlob): Promise<boolean | 'unreadable'> {
    try {
      const read = (into: Buffer, at: number) => held.read(into, at);
      return await this.#guard.look(record, digest, { size: held.size, read });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      await this.#options.files.bad.unreadable(digest, held.fileId, 'blob', error);
      return 'unreadable';
    }
  }

  /** Errors: UpstreamError for a held manifest. */
  async #refuseManifest(record: RepositoryRecord, digest: Digest, size: number): Promise<void> {
    const known = this.#guard.known(record, digest, size);
    if (known === true) throw this.#isManifest(digest);
    if (known === false) return;
    const held = await this.#options.files.open(digest);
    if (held === undefined) return;
    try {
      if ((await this.#look(record, digest, held)) === true) throw this.#isManifest(digest);
    } finally {
      await held.close();
    }
  }

  #isManifest(digest: Digest): UpstreamError {
    return manifestAsBlob(this.#options.origin.key, digest);
  }

  /** `isDoubted`: the client asks again at once, or a manifest says another length (which may itself be wrong). */
  #checkFor(digest: Digest, held: HeldBlob, isDoubted: boolean): BlobCheck | undefined {
    const { checks } = this.#options.files;
    const check = checks.ifNeeded(digest, held);
    if (check !== undefined || !isDoubted) return check;
    return checks.unlessRecent(digest, held, repeatCheckMs);
  }

  /** The same bytes anew, when the file turns out to be unusable before the first byte is out. */
  async #replace(
    request: BlobRequest,
    promised: { readonly start: number; readonly end: number; readonly size: number },
  ): Promise<BlobReader> {
    const { size, start, end, reader } = await this.#answer(request, false);
    if (size === promised.size && start === promised.start && end === promised.end) return reader;
    await reader.close();
    throw new RegistryError('BLOB_UNKNOWN', {
      message: `the new copy of the blob has ${size} bytes instead of ${promised.size}`,
    });
  }
}

function isWhole(range: ByteRange | undefined): boolean {
  return range === undefined || ('first' in range && range.first === 0 && range.last === undefined);
}
