/**
 * An upstream with credentials that aren't for everybody. It is asked as anybody would be first, and with the credentials
 * only when that is refused: so each check of a tag tells whether its repository is public, and costs nothing beside it.
 *
 * Blobs of a public repository are never asked for with the credentials: some registries give out by digest whatever the
 * account may see, through any repository.
 */
import type { Digest } from '../../oci/digest.ts';
import { isDigest } from '../../oci/digest.ts';
import type { Reference, Repository } from '../../oci/name.ts';
import type { ByteRange } from '../../oci/range.ts';
import { wrapSource } from '../../registry/map-origin.ts';
import type { Origin } from '../../registry/origin.ts';
import type {
  BlobAnswer,
  BlobSource,
  ManifestAnswer,
  ReadOptions,
  ResolveAnswer,
  StatAnswer,
} from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import { isKnownPublic, type KnownVisibility } from './known-visibility.ts';

export interface VisibilityCheckOptions {
  readonly origin: Origin;
  readonly verdicts: KnownVisibility;
  /** The record of one of its repositories. */
  open(repository: Repository): Promise<RepositoryRecord>;
}

/** For `mapOrigin`: what it answers otherwise than the origin. */
export class VisibilityCheck {
  readonly #origin: Origin;
  readonly #options: VisibilityCheckOptions;

  constructor(options: VisibilityCheckOptions) {
    this.#origin = options.origin;
    this.#options = options;
  }

  /** Of a tag: also the check of the verdict. Errors: UpstreamError. */
  async resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    const { verdicts, open } = this.#options;
    const record = await open(repository);
    const ask = (asked: ReadOptions) => this.#origin.resolve(repository, reference, asked);
    const { verdict, isFresh } = verdicts.standing(record);
    if (isFresh && verdict === 'private') return ask(options);
    if (isFresh && isDigest(reference)) return ask({ ...options, anonymous: true });
    return this.#findOut(record, options, ask);
  }

  /** GET. Within a fresh verdict with the credentials: they have the larger pull limit. Errors: UpstreamError. */
  async manifest(
    repository: Repository,
    reference: Reference,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    const { verdicts, open } = this.#options;
    const record = await open(repository);
    const ask = (asked: ReadOptions) => this.#origin.manifest(repository, reference, asked);
    return verdicts.standing(record).isFresh ? ask(options) : this.#findOut(record, options, ask);
  }

  async stat(repository: Repository, digest: Digest, options: ReadOptions): Promise<StatAnswer> {
    return this.#origin.stat(repository, digest, await this.#asBlob(repository, options));
  }

  async blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    return this.#origin.blob(repository, digest, range, await this.#asBlob(repository, options));
  }

  blobSource(repository: Repository, digest: Digest): BlobSource {
    return wrapSource(this.#origin.blobSource(repository, digest), source => ({
      open: async (offset, options) => source.open(offset, await this.#asBlob(repository, options)),
    }));
  }

  /** Anonymously, then with the credentials; the answer is the verdict. */
  async #findOut<T>(
    record: RepositoryRecord,
    options: ReadOptions,
    ask: (options: ReadOptions) => Promise<T>,
  ): Promise<T> {
    const { verdicts } = this.#options;
    let answer: T;
    try {
      answer = await ask({ ...options, anonymous: true });
    } catch (error) {
      if (isLimited(error)) return ask(options); // nothing is learnt: the next one asks again
      if (!isRefused(error)) throw error;
      answer = await ask(options);
      verdicts.learn(record, 'private');
      return answer;
    }
    verdicts.learn(record, 'public');
    return answer;
  }

  async #asBlob<T extends { readonly anonymous?: boolean }>(
    repository: Repository,
    options: T,
  ): Promise<T & { readonly anonymous?: boolean }> {
    if (options.anonymous !== undefined) return options;
    return isKnownPublic(await this.#options.open(repository)) ? { ...options, anonymous: true } : options;
  }
}

/** The upstream's word that this asker doesn't get it, however it puts it. */
export function isRefused(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && (error.failure === 'denied' || error.failure === 'gone');
}

/** There is a limit for those without credentials, and it is used up. */
function isLimited(error: unknown): boolean {
  return error instanceof UpstreamError && (error.failure === 'limited' || error.failure === 'paused');
}
