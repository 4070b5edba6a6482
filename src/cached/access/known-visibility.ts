/**
 * What has been found out about the repositories of one upstream that has credentials: public or private, kept in their
 * records. What turns public gives its links to everybody, what turns private takes them back.
 */
import type { RepositoryRecord } from '../../store/records/repository-record.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Links } from './links.ts';
import { type Standing, standingOf } from './visibility.ts';

export interface KnownVisibilityOptions {
  readonly links: Links;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

export class KnownVisibility {
  readonly #options: KnownVisibilityOptions;

  constructor(options: KnownVisibilityOptions) {
    this.#options = options;
  }

  standing(record: RepositoryRecord): Standing {
    return standingOf(record.visibility, this.#options.now());
  }

  /** The upstream has just said so. */
  learn(record: RepositoryRecord, verdict: 'public' | 'private'): void {
    const { links, logger, now } = this.#options;
    const before = record.visibility?.verdict;
    record.setVisibility({ verdict, checkedAt: now() });
    if (before === verdict) return;
    if (verdict === 'public') links.publish(record);
    else links.withdraw(record);
    logger.info('visibility of a repository', { repository: record.name, verdict, before });
  }
}

/** What is linked to it may be given to everybody. A verdict stands until another one comes. */
export function isKnownPublic(record: RepositoryRecord): boolean {
  return record.visibility?.verdict === 'public';
}
