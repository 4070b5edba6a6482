/**
 * Blobs that are held, given out from the store to those who may have them; each time is a use of the blob. A file of a
 * length that can't be right is never opened to anybody; one that is old, or that a client asks for again at once, is
 * compared with its digest while it goes out (up to `verifyFirstBytes`: before).
 */

import type { BlobCheck } from '../../content/blob-checks.ts';
import { type HeldFiles, HeldReader } from '../../content/held-files.ts';
import type { DescriptorSizes } from '../../content/hot-manifests.ts';
import { waitFor } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { ByteRange } from '../../oci/range.ts';
import type { BlobAnswer, ReadOptions } from '../../registry/registry.ts';
import type { HeldBlob } from '../../store/blobs/held-blob.ts';
import { verifyFirstBytes } from '../../store/ingest/release-policy.ts';
import type { LinkProofs } from '../access/links.ts';
import { type AskedBlob, spanOf } from './asked-blob.ts';

/** A blob that many ask for again and again, perhaps from behind one address, is not compared more often than that. */
const repeatRestMs = 10 * 60_000;

export interface HeldBlobsOptions {
  readonly files: HeldFiles;
  readonly proofs: LinkProofs;
  readonly sizes: DescriptorSizes;
  touch(digest: Digest): void;
}

/** One request for a held blob. */
export interface HeldRequest {
  readonly asked: AskedBlob;
  readonly range: ByteRange | undefined;
  readonly signal: ReadOptions['signal'];
  /** The same client had it a moment ago. */
  readonly isRepeated: boolean;
  /** The answer to the same request, when the file turns out to be unusable before the first byte is out. */
  again(): Promise<BlobAnswer>;
}

export class HeldBlobs {
  readonly #options: HeldBlobsOptions;

  constructor(options: HeldBlobsOptions) {
    this.#options = options;
  }

  /** Notes who asks for all of a blob; true: the same client did so a moment ago. */
  isRepeated(digest: Digest, range: ByteRange | undefined, client: string | undefined): boolean {
    const isWhole =
      range === undefined || ('first' in range && range.first === 0 && range.last === undefined);
    return isWhole && client !== undefined && this.#options.files.noteRequest(client, digest);
  }

  /** Undefined: not held, or bad and gone now. Errors: UpstreamError when there is no link and none could be made, RANGE_INVALID. */
  async open(request: HeldRequest): Promise<BlobAnswer | undefined> {
    const { asked, range, signal } = request;
    const { record, repository, digest } = asked;
    const held = await this.#options.files.open(digest);
    if (held === undefined) return undefined;
    try {
      await this.#options.proofs.require(record, repository, digest, signal);
      const isOdd = held.size !== (this.#options.sizes.get(record.name, digest) ?? held.size);
      const check = this.#checkFor(request, held, isOdd);
      const isFirst = isOdd || held.size <= verifyFirstBytes;
      if (check !== undefined && isFirst && (await waitFor(check.result, signal)) !== 'good') {
        await held.close();
        return undefined;
      }
      const span = spanOf(range, held.size);
      this.#options.touch(digest);
      const answer = { outcome: 'hit', size: held.size, ...span, partial: range !== undefined } as const;
      return { ...answer, reader: this.#readerOver(held, check, request, answer) };
    } catch (error) {
      await held.close();
      throw error;
    }
  }

  /** `isOdd`: a manifest says another length; it may be the manifest that is wrong. */
  #checkFor({ asked, isRepeated }: HeldRequest, held: HeldBlob, isOdd: boolean): BlobCheck | undefined {
    const { checks } = this.#options.files;
    const check = checks.ifNeeded(asked.digest, held);
    if (check !== undefined || !(isRepeated || isOdd)) return check;
    return checks.unlessRecent(asked.digest, held, repeatRestMs);
  }

  #readerOver(
    held: HeldBlob,
    check: BlobCheck | undefined,
    { asked: { digest }, again }: HeldRequest,
    promised: { readonly start: number; readonly end: number; readonly size: number },
  ): HeldReader {
    return new HeldReader({
      digest,
      held,
      check,
      unreadable: error => this.#options.files.bad.unreadable(digest, held.fileId, 'blob', error),
      replace: async () => {
        const answer = await again();
        if (answer.size === promised.size && answer.start === promised.start && answer.end === promised.end) {
          return answer.reader;
        }
        await answer.reader.close();
        throw new RegistryError('BLOB_UNKNOWN', {
          message: `expected a blob of ${promised.size} bytes, got one of ${answer.size}`,
        });
      },
    });
  }
}
