/**
 * For callers who may not see what is private, of a repository that isn't known as public: what they ask for is asked without the
 * credentials and nothing else, held or not, so that what is hidden costs the same questions as what doesn't exist. An answer is kept
 * for the request that it was asked for, which then costs no second question.
 */
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import type { Digest } from '../../oci/digest.ts';
import type { Reference, Repository } from '../../oci/name.ts';
import { type Origin, traceOf } from '../../registry/origin.ts';
import type { ManifestAnswer, ReadOptions, ResolveAnswer } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import { isRefused, type KnownVisibility } from './visibility.ts';

/** What the caller asks for. */
export type AccessRequest =
  | { readonly kind: 'manifest'; readonly reference: Reference; readonly method: 'GET' | 'HEAD' }
  | { readonly kind: 'blob'; readonly digest: Digest }
  | { readonly kind: 'referrers'; readonly digest: Digest }
  | { readonly kind: 'tags' };

export interface AnonymousQuestionsOptions {
  /** The upstream itself. */
  readonly origin: Origin;
  readonly visibility: KnownVisibility;
  /** How long a refusal is remembered; 0: it isn't. */
  readonly negativeTtlMs: number;
  /** Ends requests that outlive their clients. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
}

const maxRefusals = 10_000;

export class AnonymousQuestions {
  readonly #options: AnonymousQuestionsOptions;
  readonly #questions = new SingleFlight<boolean | undefined>();
  readonly #refusals: ExpiringMap<string, true>;
  readonly #resolved = new Map<string, ResolveAnswer>();
  readonly #manifests = new Map<string, ManifestAnswer>();

  constructor(options: AnonymousQuestionsOptions) {
    this.#options = options;
    this.#refusals = new ExpiringMap({
      maxEntries: maxRefusals,
      ttlMs: options.negativeTtlMs,
      now: () => options.now(),
    });
  }

  /**
   * Whether the upstream gives it to all. A manifest that it gives makes the repository known as public. Undefined: it couldn't be
   * asked. Callers who ask for the same at once wait for one answer. `release` is called when the request is over.
   */
  async isOpen(
    record: RepositoryRecord,
    repository: Repository,
    request: AccessRequest,
    options: Pick<ReadOptions, 'signal' | 'requestId'>,
  ): Promise<boolean | undefined> {
    const key = keyOf(record, request);
    if (this.#refusals.has(key)) return false;
    const { value } = await this.#questions.run(key, options.signal, () =>
      this.#ask(record, repository, request, options),
    );
    return value;
  }

  /** The answer to HEAD that `isOpen` got a moment ago. */
  resolved(record: RepositoryRecord, reference: Reference): ResolveAnswer | undefined {
    return this.#resolved.size === 0
      ? undefined
      : this.#resolved.get(keyOfManifest(record, 'HEAD', reference));
  }

  /** The same to GET. */
  manifest(record: RepositoryRecord, reference: Reference): ManifestAnswer | undefined {
    return this.#manifests.size === 0
      ? undefined
      : this.#manifests.get(keyOfManifest(record, 'GET', reference));
  }

  release(record: RepositoryRecord, request: AccessRequest): void {
    const key = keyOf(record, request);
    this.#resolved.delete(key);
    this.#manifests.delete(key);
  }

  async #ask(
    record: RepositoryRecord,
    repository: Repository,
    request: AccessRequest,
    read: Pick<ReadOptions, 'requestId'>,
  ): Promise<boolean | undefined> {
    const { origin, signal, visibility } = this.#options;
    const options = { signal, anonymous: true, ...traceOf(read) };
    const key = keyOf(record, request);
    try {
      if (request.kind === 'tags') await origin.tags(repository, { ...options, n: 1 });
      else if (request.kind === 'blob') await origin.stat(repository, request.digest, options);
      else if (request.kind === 'referrers') await origin.resolve(repository, request.digest, options);
      else if (request.method === 'HEAD')
        this.#resolved.set(key, await origin.resolve(repository, request.reference, options));
      else this.#manifests.set(key, await origin.manifest(repository, request.reference, options));
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (!isRefused(error)) return undefined;
      this.#refusals.set(key, true);
      return false;
    }
    // only a manifest says that the repository may be pulled
    if (request.kind === 'manifest' || request.kind === 'referrers') visibility.learn(record, 'public');
    return true;
  }
}

function keyOf(record: RepositoryRecord, request: AccessRequest): string {
  if (request.kind === 'manifest') return keyOfManifest(record, request.method, request.reference);
  return `${record.name} ${request.kind} ${request.kind === 'tags' ? '' : request.digest}`;
}

function keyOfManifest(record: RepositoryRecord, method: 'GET' | 'HEAD', reference: Reference): string {
  return `${record.name} ${method} ${reference}`;
}
