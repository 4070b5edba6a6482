/**
 * Blobs: held ones from the store, cold ones from one shared download, and what the store can't keep straight through.
 * Decides which of the three a request gets, and checks its link first in each of them.
 */

import type { RecentMismatches } from '../../content/bad-blobs.ts';
import type { HeldFiles } from '../../content/held-files.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Repository } from '../../oci/name.ts';
import type { ByteRange } from '../../oci/range.ts';
import type { Origin } from '../../registry/origin.ts';
import type { BlobAnswer, ReadOptions, StatAnswer } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { Observer } from '../../telemetry/observer.ts';
import { LinkProofs, type Links } from '../access/links.ts';
import type { AskedBlob } from './asked-blob.ts';
import { ColdBlob, type ColdBlobOptions } from './cold-blob.ts';
import { HeldBlobs } from './held-blobs.ts';
import { Readers } from './readers.ts';

const maxTries = 4;

export interface CachedBlobOptions extends Omit<ColdBlobOptions, 'proofs' | 'readers'> {
  readonly origin: Origin;
  readonly files: HeldFiles;
  readonly links: Links;
  readonly suspects: RecentMismatches;
  isPublic(record: RepositoryRecord): boolean;
  readonly observer: Observer;
  readonly signal: AbortSignal;
  touch(digest: Digest): void;
}

export class CachedBlob {
  readonly #options: CachedBlobOptions;
  readonly #proofs: LinkProofs;
  readonly #held: HeldBlobs;
  readonly #cold: ColdBlob;

  constructor(options: CachedBlobOptions) {
    this.#options = options;
    this.#proofs = new LinkProofs(options);
    this.#held = new HeldBlobs({ ...options, proofs: this.#proofs });
    this.#cold = new ColdBlob({ ...options, proofs: this.#proofs, readers: new Readers(options) });
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
    const again = () => this.#answer(asked, wanted, options, false);
    for (let tries = 1; tries <= maxTries; tries += 1) {
      const { signal } = options;
      const held = await this.#held.open({ asked, range: wanted, signal, isRepeated, again });
      if (held !== undefined) return held;
      const answer = await this.#cold.answer(asked, wanted, signal);
      if (answer !== undefined) return answer;
    }
    throw new UpstreamError({
      upstream: this.#options.origin.key,
      kind: 'blob',
      failure: 'unreachable',
      message: `${asked.digest} was downloaded and was gone again, ${maxTries} times`,
    });
  }

  /** After wrong bytes a range that starts above 0 is set aside for a minute. */
  #trusted(digest: Digest, range: ByteRange | undefined): ByteRange | undefined {
    if (range === undefined || !this.#options.suspects.has(digest)) return range;
    return 'first' in range && range.first === 0 ? range : undefined;
  }
}
