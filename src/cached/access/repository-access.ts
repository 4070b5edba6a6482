/**
 * Who gets into a repository of an upstream with credentials: everybody where the verdict is public, else those who may
 * have what is private. To all others it is as if it didn't exist, whatever is held of it or is being fetched for
 * somebody; without any verdict they are told to come back.
 */

import { SingleFlight } from '../../lib/single-flight.ts';
import type { Digest } from '../../oci/digest.ts';
import { isDigest } from '../../oci/digest.ts';
import type { Reference, Repository } from '../../oci/name.ts';
import { anonymousCaller } from '../../registry/caller.ts';
import type { Origin } from '../../registry/origin.ts';
import type { ReadOptions } from '../../registry/registry.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { KnownVisibility } from './known-visibility.ts';
import { isRefused } from './visibility-check.ts';

/** What the caller wants: the verdict is found out by asking for just that. */
export type Wanted =
  | { readonly kind: 'manifest'; readonly reference: Reference }
  | { readonly kind: 'blob' | 'referrers'; readonly digest: Digest }
  | { readonly kind: 'tags' };

export interface RepositoryAccessOptions {
  /** The `VisibilityCheck`. */
  readonly origin: Origin;
  readonly verdicts: KnownVisibility;
  /** Ends what outlives its clients. */
  readonly signal: AbortSignal;
}

export class RepositoryAccess {
  readonly #options: RepositoryAccessOptions;
  readonly #asked = new SingleFlight<boolean | undefined>();

  constructor(options: RepositoryAccessOptions) {
    this.#options = options;
  }

  /** Errors: those of `work`; for those who are not let in: 404 of the kind, UNAVAILABLE without a verdict. */
  async run<T, O extends ReadOptions>(
    record: RepositoryRecord,
    repository: Repository,
    wanted: Wanted,
    options: O,
    work: (options: O) => Promise<T>,
  ): Promise<T> {
    if ((options.caller ?? anonymousCaller).mayPull(record.name, 'private')) return work(options);
    try {
      const { verdict, isFresh } = this.#options.verdicts.standing(record);
      if (isFresh) {
        if (verdict === 'private') throw this.#hidden(wanted.kind);
        return await this.#checked(record, wanted.kind, await work(options));
      }
      if (wanted.kind === 'manifest' && !isDigest(wanted.reference)) {
        // the check of the tag is the question: it comes before anything held goes out
        return await this.#checked(record, wanted.kind, await work({ ...options, mustCheck: true }));
      }
      const { value: isOpen } = await this.#asked.run(keyOf(record, wanted), options.signal, () =>
        this.#ask(repository, wanted),
      );
      if (isOpen === undefined) this.#require(record, wanted.kind);
      else if (!isOpen) throw this.#hidden(wanted.kind);
      const answer = await work(options);
      return isOpen === true ? answer : await this.#checked(record, wanted.kind, answer);
    } catch (error) {
      throw isRefused(error) ? this.#hidden(wanted.kind) : error; // one answer for what isn't there and what is hidden
    }
  }

  /** Whether anybody gets what is wanted. Undefined: the upstream couldn't say; what is kept has to do. */
  async #ask(repository: Repository, wanted: Wanted): Promise<boolean | undefined> {
    const { origin, signal } = this.#options;
    const anonymous = { signal, anonymous: true };
    try {
      if (wanted.kind === 'tags') await origin.tags(repository, { ...anonymous, n: 1 });
      else if (wanted.kind === 'blob') await origin.stat(repository, wanted.digest, anonymous);
      else await origin.resolve(repository, subjectOf(wanted), { signal });
    } catch (error) {
      if (isRefused(error)) return false;
      if (error instanceof UpstreamError) return undefined;
      throw error;
    }
    return wanted.kind === 'tags' || wanted.kind === 'blob' ? true : undefined;
  }

  /** The verdict may have turned while the answer was made. */
  async #checked<T>(record: RepositoryRecord, kind: Wanted['kind'], answer: T): Promise<T> {
    try {
      this.#require(record, kind);
      return answer;
    } catch (error) {
      if (hasReader(answer)) await answer.reader.close();
      throw error;
    }
  }

  #require(record: RepositoryRecord, kind: Wanted['kind']): void {
    const { verdict } = this.#options.verdicts.standing(record);
    if (verdict === 'private') throw this.#hidden(kind);
    if (verdict === 'public') return;
    throw new UpstreamError({
      upstream: this.#options.origin.key,
      kind,
      failure: 'unreachable',
      message: 'whether this repository is public is not known, and the upstream cannot be asked now',
    });
  }

  #hidden(kind: Wanted['kind']): UpstreamError {
    const message = 'expected something that is there for this caller, got a name that is not';
    return new UpstreamError({ upstream: this.#options.origin.key, kind, failure: 'gone', message });
  }
}

/** Whoever asks for the same thing of the same repository waits for one answer. */
function keyOf(record: RepositoryRecord, wanted: Wanted): string {
  return `${record.name} ${wanted.kind} ${wanted.kind === 'tags' ? '' : subjectOf(wanted)}`;
}

function subjectOf(wanted: Extract<Wanted, { kind: 'manifest' | 'blob' | 'referrers' }>): Reference {
  return wanted.kind === 'manifest' ? wanted.reference : wanted.digest;
}

function hasReader(answer: unknown): answer is { readonly reader: { close(): Promise<void> } } {
  return typeof answer === 'object' && answer !== null && 'reader' in answer;
}
