/**
 * Blobs of hosted repositories. The repository's own link decides who has a blob, and the file whether it is there: one that
 * is bad or gone counts as unknown, so that its client pushes it again. Bad files stay where they are (docs/registry.md).
 */
import { type HeldFiles, HeldReader } from '../content/held-files.ts';
import { waitFor } from '../lib/wait.ts';
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { isIndexType } from '../oci/media-type.ts';
import type { Repository } from '../oci/name.ts';
import { type ByteRange, spanOf } from '../oci/range.ts';
import type { BlobAnswer, ReadOptions, StatAnswer, StatOptions } from '../registry/registry.ts';
import type { HeldBlob } from '../store/blobs/held-blob.ts';
import { verifyFirstBytes } from '../store/ingest/follower.ts';
import type { HostedLink, HostedLog, HostedRepository } from './log/hosted-log.ts';

export interface HostedBlobsOptions {
  readonly log: HostedLog;
  readonly files: HeldFiles;
  /** A blob was used. Synchronous. */
  touch(digest: Digest): void;
  /**
   * For a pusher: links a blob of the mirror's side that this repository hasn't (docs/registry.md, "Adoption"). Resolves with its
   * size; undefined: there is none.
   */
  adopt?(repository: Repository, digest: Digest, options: StatOptions): Promise<number | undefined>;
  /** For a pusher: the link is in use again. */
  renew?(repository: Repository, link: HostedLink, options: StatOptions): Promise<void>;
}

/** A blob that clients ask for again and again is not compared more often than that. */
const repeatCheckMs = 10 * 60_000;

/** As of one generation of its repository. */
interface DeletedManifests {
  readonly generation: number;
  readonly digests: ReadonlySet<Digest>;
}

export class HostedBlobs {
  readonly #options: HostedBlobsOptions;
  readonly #deleted = new WeakMap<HostedRepository, DeletedManifests>();

  constructor(options: HostedBlobsOptions) {
    this.#options = options;
  }

  /** HEAD: looks at the file. Errors: BLOB_UNKNOWN, UNAVAILABLE. */
  async stat(name: Repository, digest: Digest, options: StatOptions): Promise<StatAnswer> {
    const link = await this.#link(name, digest);
    const held = link && (await this.#options.files.sizeOf(digest));
    if (link !== undefined && held === link.size) {
      await this.#options.renew?.(name, link, options);
      return { outcome: 'hit', size: held };
    }
    const adopted = await this.#options.adopt?.(name, digest, options);
    if (adopted === undefined) throw unknownBlob(name, digest);
    return { outcome: 'hit', size: adopted };
  }

  /** GET. Errors: BLOB_UNKNOWN, RANGE_INVALID, UNAVAILABLE. */
  async blob(
    name: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    { client, signal }: ReadOptions,
  ): Promise<BlobAnswer> {
    const { files } = this.#options;
    const link = await this.#link(name, digest);
    const held = link && (await files.open(digest));
    if (held === undefined) throw unknownBlob(name, digest);
    try {
      if (held.size !== link?.size) throw unknownBlob(name, digest);
      const isRepeated = range === undefined && client !== undefined && files.noteRequest(client, digest);
      const check =
        files.checks.ifNeeded(digest, held) ??
        (isRepeated ? files.checks.unlessRecent(digest, held, repeatCheckMs) : undefined);
      const isCheckedFirst = held.size <= verifyFirstBytes;
      if (check !== undefined && isCheckedFirst && (await waitFor(check.result, signal)) === 'bad')
        throw unknownBlob(name, digest);
      return this.#answer(name, digest, held, check, this.#trustedRange(digest, range));
    } catch (error) {
      await held.close();
      throw error;
    }
  }

  #answer(
    name: Repository,
    digest: Digest,
    held: HeldBlob,
    check: ReturnType<HeldFiles['checks']['ifNeeded']>,
    range: ByteRange | undefined,
  ): BlobAnswer {
    const { files, touch } = this.#options;
    const span = spanOf(range, held.size);
    touch(digest);
    const reader = new HeldReader({
      digest,
      held,
      check,
      unreadable: error => files.bad.unreadable(digest, held.fileId, 'blob', error),
      replace: () => Promise.reject(unknownBlob(name, digest)),
    });
    const isVerifiedFile = check === undefined || check.known === 'good';
    return {
      outcome: 'hit',
      size: held.size,
      ...span,
      partial: range !== undefined,
      isVerifiedFile,
      reader,
    };
  }

  /** After wrong bytes a range that starts above 0 is set aside for a minute. */
  #trustedRange(digest: Digest, range: ByteRange | undefined): ByteRange | undefined {
    if (range === undefined || !this.#options.files.mismatches.has(digest)) return range;
    return 'first' in range && range.first === 0 ? range : undefined;
  }

  async #link(name: Repository, digest: Digest): Promise<HostedLink | undefined> {
    const repository = await this.#options.log.readRepository(name);
    const link = repository?.link(digest);
    if (repository === undefined || link === undefined) return undefined;
    return this.#isDeletedManifest(repository, digest) ? undefined : link;
  }

  /** A manifest keeps its link while it can be restored; its bytes are served no longer, unless an artifact has them as a layer. */
  #isDeletedManifest(repository: HostedRepository, digest: Digest): boolean {
    let known = this.#deleted.get(repository);
    if (known?.generation !== repository.generation) {
      const digests = new Set<Digest>();
      for (const { descriptor } of repository.deletedManifests()) digests.add(descriptor.digest);
      known = { generation: repository.generation, digests };
      this.#deleted.set(repository, known);
    }
    if (!known.digests.has(digest)) return false;
    return repository.namedBy(digest).every(({ descriptor }) => isIndexType(descriptor.mediaType));
  }
}

function unknownBlob(name: Repository, digest: Digest): RegistryError {
  return new RegistryError('BLOB_UNKNOWN', { message: `${name} has no blob ${digest}` });
}
