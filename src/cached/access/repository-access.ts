/**
 * Who may use a repository of an upstream with credentials: all callers when it is public, otherwise those whom a rule allows
 * private content. For all others it doesn't exist, whatever is held of it; while its visibility is unknown the answer is 503.
 */
import { SingleFlight } from '../../lib/single-flight.ts';
import { isDigest } from '../../oci/digest.ts';
import type { Reference, Repository } from '../../oci/name.ts';
import { anonymousCaller } from '../../registry/caller.ts';
import type { Origin } from '../../registry/origin.ts';
import { type ReadOptions, traceOf } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { AccessRequest, AnonymousQuestions } from './anonymous-questions.ts';
import { isRefused, type KnownVisibility } from './visibility.ts';

export interface RepositoryAccessOptions {
  /** The upstream under its `VisibilityCheck`. */
  readonly origin: Origin;
  readonly visibility: KnownVisibility;
  readonly questions: AnonymousQuestions;
  /** Ends requests that outlive their clients. */
  readonly signal: AbortSignal;
}

export class RepositoryAccess {
  readonly #options: RepositoryAccessOptions;
  readonly #requests = new SingleFlight<boolean | undefined>();

  constructor(options: RepositoryAccessOptions) {
    this.#options = options;
  }

  /** Errors: those of `work`; 404 of the kind for callers who may not; UNAVAILABLE while the visibility is unknown. */
  async run<T, O extends ReadOptions>(
    record: RepositoryRecord,
    repository: Repository,
    request: AccessRequest,
    options: O,
    work: (options: O) => Promise<T>,
  ): Promise<T> {
    if ((options.caller ?? anonymousCaller).mayPull(record.name, 'private')) return work(options);
    try {
      const { visibility, isFresh } = this.#options.visibility.standing(record);
      if (visibility !== 'public') return await this.#ifOpen(record, repository, request, options, work);
      if (isFresh) return await this.#checked(record, request.kind, await work(options));
      if (request.kind === 'manifest' && !isDigest(request.reference)) {
        // the check of the tag tells the visibility, before anything held goes out
        return await this.#checked(record, request.kind, await work({ ...options, mustCheck: true }));
      }
      const { value: isOpen } = await this.#requests.run(keyOf(record, request), options.signal, () =>
        this.#ask(repository, request, options),
      );
      if (isOpen === undefined) this.#require(record, request.kind);
      else if (!isOpen) throw this.#hidden(request.kind);
      const answer = await work(options);
      return isOpen === true ? answer : await this.#checked(record, request.kind, answer);
    } catch (error) {
      throw isRefused(error) ? this.#hidden(request.kind) : error; // the same answer for absent and for hidden content
    }
  }

  /** What isn't known as public: the same questions whether it is private, or not there at all. */
  async #ifOpen<T, O extends ReadOptions>(
    record: RepositoryRecord,
    repository: Repository,
    request: AccessRequest,
    options: O,
    work: (options: O) => Promise<T>,
  ): Promise<T> {
    const { questions } = this.#options;
    const isOpen = await questions.isOpen(record, repository, request, options);
    if (isOpen === false) throw this.#hidden(request.kind);
    if (isOpen === undefined) this.#require(record, request.kind);
    try {
      const answer = await work(options);
      const isAnswer = request.kind === 'blob' || request.kind === 'tags'; // that it may be pulled is not said
      return isAnswer ? answer : await this.#checked(record, request.kind, answer);
    } finally {
      questions.release(record, request);
    }
  }

  /** Whether the upstream serves it anonymously. Undefined: it couldn't say, and the kept visibility decides. */
  async #ask(
    repository: Repository,
    request: AccessRequest,
    read: ReadOptions,
  ): Promise<boolean | undefined> {
    const { origin, signal } = this.#options;
    const anonymous = { signal, anonymous: true, ...traceOf(read) };
    try {
      if (request.kind === 'tags') await origin.tags(repository, { ...anonymous, n: 1 });
      else if (request.kind === 'blob') await origin.stat(repository, request.digest, anonymous);
      else await origin.resolve(repository, subjectOf(request), { signal, ...traceOf(read) });
    } catch (error) {
      if (isRefused(error)) return false;
      if (error instanceof UpstreamError) return undefined;
      throw error;
    }
    return request.kind === 'tags' || request.kind === 'blob' ? true : undefined;
  }

  /** The visibility may have changed while the answer was made. */
  async #checked<T>(record: RepositoryRecord, kind: AccessRequest['kind'], answer: T): Promise<T> {
    try {
      this.#require(record, kind);
      return answer;
    } catch (error) {
      if (hasReader(answer)) await answer.reader.close();
      throw error;
    }
  }

  #require(record: RepositoryRecord, kind: AccessRequest['kind']): void {
    const { visibility } = this.#options.visibility.standing(record);
    if (visibility === 'private') throw this.#hidden(kind);
    if (visibility === 'public') return;
    throw new UpstreamError({
      upstream: this.#options.origin.key,
      kind,
      failure: 'unreachable',
      message: 'it is not known whether this repository is public, and the upstream cannot be asked now',
    });
  }

  #hidden(kind: AccessRequest['kind']): UpstreamError {
    return hiddenContent(this.#options.origin.key, kind);
  }
}

/** One answer for what doesn't exist and for what this caller may not see. */
export function hiddenContent(upstream: string, kind: AccessRequest['kind']): UpstreamError {
  const message = 'it does not exist, or this caller may not see it';
  return new UpstreamError({ upstream, kind, failure: 'gone', message });
}

/** Callers who ask for the same thing of the same repository wait for one answer. */
function keyOf(record: RepositoryRecord, request: AccessRequest): string {
  return `${record.name} ${request.kind} ${request.kind === 'tags' ? '' : subjectOf(request)}`;
}

function subjectOf(request: Extract<AccessRequest, { kind: 'manifest' | 'blob' | 'referrers' }>): Reference {
  return request.kind === 'manifest' ? request.reference : request.digest;
}

function hasReader(answer: unknown): answer is { readonly reader: { close(): Promise<void> } } {
  return typeof answer === 'object' && answer !== null && 'reader' in answer;
}
