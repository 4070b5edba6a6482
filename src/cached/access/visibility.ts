/**
 * Whether a repository of an upstream with credentials is public (docs/behaviour.md, "Visibility"). The upstream is asked
 * anonymously first, and with the credentials only when it refuses: so each check of a tag tells it.
 */
import type { Digest } from '../../oci/digest.ts';
import { isDigest } from '../../oci/digest.ts';
import type { Reference, Repository } from '../../oci/name.ts';
import type { ByteRange } from '../../oci/range.ts';
import type { Visibility } from '../../registry/caller.ts';
import { type Origin, wrapSource } from '../../registry/origin.ts';
import type {
  BlobAnswer,
  BlobSource,
  ManifestAnswer,
  PageOptions,
  ReadOptions,
  ReferrersAnswer,
  ResolveAnswer,
  StatAnswer,
  TagsPage,
} from '../../registry/registry.ts';
import { isAccessRefusal, UpstreamError } from '../../registry/upstream-error.ts';
import type { RepositoryRecord, VisibilityEntry } from '../../store/records/repository-record.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Links } from './links.ts';

/** How long a visibility is fresh. */
export const visibilityTtlMs = 24 * 3600_000;

/** `unknown`: not found out yet. `isFresh: false`: due to be checked; until a check succeeds it stands. */
export type Standing =
  | { readonly visibility: Visibility; readonly isFresh: boolean }
  | { readonly visibility: 'unknown'; readonly isFresh: false };

export function standingOf(entry: VisibilityEntry | undefined, now: number): Standing {
  if (entry === undefined) return { visibility: 'unknown', isFresh: false };
  const ageMs = now - entry.checkedAt;
  return { visibility: entry.verdict, isFresh: ageMs >= 0 && ageMs < visibilityTtlMs }; // a clock may be set back
}

/** The links of such a repository are public. A visibility stands until another one is learnt. */
export function isKnownPublic(record: RepositoryRecord): boolean {
  return record.visibility?.verdict === 'public';
}

export interface KnownVisibilityOptions {
  readonly links: Links;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** What is kept in the records of the repositories. A visibility that changes publishes or withdraws their links. */
export class KnownVisibility {
  readonly #options: KnownVisibilityOptions;

  constructor(options: KnownVisibilityOptions) {
    this.#options = options;
  }

  standing(record: RepositoryRecord): Standing {
    return standingOf(record.visibility, this.#options.now());
  }

  /** The upstream's answer just now. */
  learn(record: RepositoryRecord, visibility: Visibility): void {
    const { links, logger, now } = this.#options;
    const before = record.visibility?.verdict;
    record.setVisibility({ verdict: visibility, checkedAt: now() });
    if (before === visibility) return;
    if (visibility === 'public') links.publish(record);
    else links.withdraw(record);
    logger.info('visibility of a repository', { repository: record.name, visibility, before });
  }
}

/** Answers that are here already: see `anonymous-questions.ts`. */
export interface AnsweredQuestions {
  resolved(record: RepositoryRecord, reference: Reference): ResolveAnswer | undefined;
  manifest(record: RepositoryRecord, reference: Reference): ManifestAnswer | undefined;
}

export interface VisibilityCheckOptions {
  readonly origin: Origin;
  readonly visibility: KnownVisibility;
  /** What was asked for callers without rights a moment ago. */
  readonly questions?: AnsweredQuestions;
  /** The record of one of its repositories. */
  open(repository: Repository): Promise<RepositoryRecord>;
}

/**
 * What `mapOrigin` overrides of such an upstream. Blobs of a public repository are never asked for with the credentials:
 * some registries serve any digest that the account may see through any repository.
 */
export class VisibilityCheck {
  readonly #origin: Origin;
  readonly #options: VisibilityCheckOptions;

  constructor(options: VisibilityCheckOptions) {
    this.#origin = options.origin;
    this.#options = options;
  }

  /** HEAD; of a tag it also checks the visibility. Errors: UpstreamError. */
  async resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    const { visibility, open } = this.#options;
    const record = await open(repository);
    const answered = this.#options.questions?.resolved(record, reference);
    if (answered !== undefined) return answered;
    const ask = (asked: ReadOptions) => this.#origin.resolve(repository, reference, asked);
    const known = visibility.standing(record);
    if (known.isFresh && known.visibility === 'private') return ask(options);
    if (known.isFresh && isDigest(reference)) return askAnonymously(options, ask);
    return this.#findOut(record, options, ask);
  }

  /**
   * GET. While the visibility is fresh it uses the credentials, which have the larger pull limit; but not by digest through a
   * public repository, since some registries give out any digest that the account may see. Errors: UpstreamError.
   */
  async manifest(
    repository: Repository,
    reference: Reference,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    const record = await this.#options.open(repository);
    const answered = this.#options.questions?.manifest(record, reference);
    if (answered !== undefined) return answered;
    const ask = (asked: ReadOptions) => this.#origin.manifest(repository, reference, asked);
    const { visibility, isFresh } = this.#options.visibility.standing(record);
    if (!isFresh) return this.#findOut(record, options, ask);
    if (visibility === 'public' && isDigest(reference)) return askAnonymously(options, ask);
    return visibility === 'public' ? this.#askPublic(options, ask) : ask(options);
  }

  async tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    const ask = (asked: PageOptions) => this.#origin.tags(repository, asked);
    return isKnownPublic(await this.#options.open(repository)) ? this.#askPublic(options, ask) : ask(options);
  }

  async referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    const ask = (asked: typeof options) => this.#origin.referrers(repository, digest, artifactType, asked);
    return isKnownPublic(await this.#options.open(repository)) ? this.#askPublic(options, ask) : ask(options);
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

  /** With the credentials; when these are refused, what every client gets is the whole answer, a 404 too. */
  async #askPublic<T, O extends ReadOptions>(options: O, ask: (options: O) => Promise<T>): Promise<T> {
    if (options.anonymous !== undefined) return ask(options);
    try {
      return await ask({ ...options, anonymous: false });
    } catch (error) {
      if (!(error instanceof UpstreamError) || error.failure !== 'credentials') throw error;
      return ask({ ...options, anonymous: true });
    }
  }

  /** Asks anonymously, then with the credentials; the answer tells the visibility. */
  async #findOut<T>(
    record: RepositoryRecord,
    options: ReadOptions,
    ask: (options: ReadOptions) => Promise<T>,
  ): Promise<T> {
    const { visibility } = this.#options;
    let answer: T;
    try {
      answer = await ask({ ...options, anonymous: true });
    } catch (error) {
      if (isLimited(error)) return ask(options); // learns nothing: the next request asks again
      if (!isRefused(error)) throw error;
      answer = await ask({ ...options, anonymous: false });
      visibility.learn(record, 'private');
      return answer;
    }
    visibility.learn(record, 'public');
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

/** Without the credentials; with them only when the pull limit of all others is used up. */
async function askAnonymously<T>(
  options: ReadOptions,
  ask: (options: ReadOptions) => Promise<T>,
): Promise<T> {
  try {
    return await ask({ ...options, anonymous: true });
  } catch (error) {
    if (isLimited(error) && options.anonymous !== true) return ask({ ...options, anonymous: false });
    throw error;
  }
}

/** The upstream refuses this caller: some answer 404 for what is private. */
export function isRefused(error: unknown): error is UpstreamError {
  return error instanceof UpstreamError && (error.failure === 'gone' || isAccessRefusal(error.failure));
}

/** The pull limit for anonymous requests is used up. */
function isLimited(error: unknown): boolean {
  return error instanceof UpstreamError && (error.failure === 'limited' || error.failure === 'paused');
}
