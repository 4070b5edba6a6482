/**
 * Content of one upstream under a digest that isn't computed here (`blake3:…`): passed through and never kept, since nothing here can verify
 * it. A caller without rights to what is private gets what the upstream gives without credentials, so nothing is told but what any client
 * may have.
 */
import type { Repository } from '../oci/name.ts';
import { anonymousCaller } from '../registry/caller.ts';
import type { Origin } from '../registry/origin.ts';
import type { ForeignAnswer, ForeignQuestion, ReadOptions } from '../registry/registry.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import { hiddenContent } from './access/repository-access.ts';
import { isKnownPublic, isRefused } from './access/visibility.ts';

export class ForeignContent {
  readonly #origin: Origin;
  /** Some of what the upstream gives is private. */
  readonly #isGuarded: boolean;

  constructor(origin: Origin, isGuarded: boolean) {
    this.#origin = origin;
    this.#isGuarded = isGuarded;
  }

  /** Errors: UpstreamError, RANGE_INVALID. */
  async answer(
    record: RepositoryRecord,
    repository: Repository,
    question: ForeignQuestion,
    options: ReadOptions,
  ): Promise<ForeignAnswer> {
    if (!this.#isGuarded) return this.#origin.foreign(repository, question, options);
    const mayPullPrivate = (options.caller ?? anonymousCaller).mayPull(record.name, 'private');
    // some registries give any digest that the account may see through any repository
    const isAnonymous = !mayPullPrivate || isKnownPublic(record);
    try {
      const asked = isAnonymous ? { ...options, anonymous: true } : options;
      return await this.#origin.foreign(repository, question, asked);
    } catch (error) {
      throw isAnonymous && isRefused(error) ? hiddenContent(this.#origin.key, question.of) : error;
    }
  }
}
