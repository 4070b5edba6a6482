/**
 * Retention over the log: explains what it would do, and removes the tags that no rule keeps. A tag that was pushed or moved in between
 * is decided anew. Manifests and blobs are the collection's business.
 */

import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Repository, Tag } from '../../oci/name.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { commitDecided } from '../commit.ts';
import type { ImmutableTags } from '../immutable-tags.ts';
import type { HostedLog, HostedRepository } from '../log/hosted-log.ts';
import type { RetainedTag, Retention, RetentionDecision } from '../retention.ts';

export interface AppliedRetentionOptions {
  readonly log: HostedLog;
  readonly retention: Retention;
  readonly immutable: ImmutableTags;
  /** A manifest that a pin of the mirror's side protects. */
  isPinned(digest: Digest): boolean | Promise<boolean>;
  /** Pulls that are not in the log yet are written to it. Absent: there are none. */
  flushPulls?(): Promise<void>;
  /** A tag went, and that is on the disk. */
  onRemoved?(name: Repository, tag: Tag, digest: Digest): void;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

export interface RepositoryRetention {
  readonly name: Repository;
  readonly decisions: readonly RetentionDecision[];
}

export class AppliedRetention {
  readonly #options: AppliedRetentionOptions;

  constructor(options: AppliedRetentionOptions) {
    this.#options = options;
  }

  /** What `apply` would decide now, of all repositories. Those whose log is damaged are left out. */
  async *explain(signal: AbortSignal): AsyncIterable<RepositoryRetention> {
    const { log } = this.#options;
    await this.#options.flushPulls?.();
    for (const name of log.names()) {
      signal.throwIfAborted();
      const repository = log.closed().has(name) ? undefined : await log.readRepository(name);
      if (repository !== undefined) yield { name, decisions: await this.#decide(repository) };
    }
  }

  /** Resolves with how many tags went. A repository whose log can't be written is left for the next time. Errors: the signal's reason. */
  async apply(signal: AbortSignal): Promise<number> {
    const { log, retention, logger } = this.#options;
    await this.#options.flushPulls?.();
    let removed = 0;
    for (const name of log.names()) {
      signal.throwIfAborted();
      if (!retention.concerns(name) || log.closed().has(name)) continue;
      try {
        removed += await this.#applyTo(name, signal);
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        logger.warn('retention could not be applied', { repository: name, error });
      }
    }
    return removed;
  }

  async #applyTo(name: Repository, signal: AbortSignal): Promise<number> {
    const { log, logger, now } = this.#options;
    let expired: readonly RetentionDecision[] = [];
    const decide: Parameters<typeof commitDecided>[2] = async repository => {
      const decisions = repository === undefined ? [] : await this.#decide(repository);
      expired = decisions.filter(({ keeps }) => !keeps);
      return expired.map(({ tag }) => ({ type: 'untag', tag, at: now(), how: 'retention' }));
    };
    await commitDecided(log, name, decide, signal);
    for (const { tag, digest, rule } of expired) {
      logger.info('retention removed a tag', { repository: name, tag, digest, rule });
      this.#options.onRemoved?.(name, tag, digest);
    }
    return expired.length;
  }

  async #decide(repository: HostedRepository): Promise<readonly RetentionDecision[]> {
    const { retention, now } = this.#options;
    const tags: RetainedTag[] = [];
    for (const tag of repository.tags()) {
      const found = await this.#retained(repository, tag);
      if (found !== undefined) tags.push(found);
    }
    return retention.decide(repository.name, tags, now());
  }

  async #retained(repository: HostedRepository, tag: RetainedTag['tag']): Promise<RetainedTag | undefined> {
    const { immutable, isPinned } = this.#options;
    const move = repository.tag(tag);
    if (move?.to === undefined) return undefined; // it went while others were looked at, and the commit will be refused
    const manifest = repository.manifest(move.to);
    const pinned = isPinned(move.to);
    return {
      tag,
      digest: move.to,
      pushedAt: Math.max(move.at, manifest?.at ?? 0),
      ...(manifest?.pulledAt !== undefined && { pulledAt: manifest.pulledAt }),
      isImmutable: immutable.isImmutable(repository.name, tag),
      isPinned: typeof pinned === 'boolean' ? pinned : await pinned,
    };
  }
}
