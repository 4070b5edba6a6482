/**
 * Tags: held ones go out within their ttl, are confirmed by one HEAD after it, and go out stale when that fails or takes
 * too long (docs/behaviour.md, "A tag"). Whoever asks while a check runs waits for that one; a check that outlives its
 * clients ends behind them.
 */

import type { HeldManifest, HotManifests } from '../../content/hot-manifests.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import { settleWithin } from '../../lib/wait.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import type { Repository, Tag } from '../../oci/name.ts';
import type { Origin } from '../../registry/origin.ts';
import type { ManifestAnswer, ReadOptions, ResolveAnswer, StaleReason } from '../../registry/registry.ts';
import type { RepositoryRecord, TagEntry } from '../../store/records/repository-record.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Outcome } from '../../telemetry/observer.ts';
import { type CachedManifest, incomplete } from './cached-manifest.ts';
import { decide, staleAfter, type TagPolicy } from './freshness.ts';
import type { ImageCompleteness } from './image-completeness.ts';
import { isDiscoveryTag, type NegativeCache } from './negative-cache.ts';

export interface CachedTagOptions {
  readonly origin: Origin;
  readonly policy: TagPolicy;
  readonly offline: boolean;
  readonly manifests: HotManifests;
  readonly byDigest: CachedManifest;
  readonly availability: ImageCompleteness;
  readonly absent: NegativeCache;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  now(): number;
}

/** What is held of a tag: where it points, and the manifest itself unless only a HEAD has been seen. */
interface HeldTag {
  readonly entry: TagEntry;
  readonly held: HeldManifest | undefined;
}

interface Checked extends HeldTag {
  readonly outcome: Outcome;
  readonly stale?: StaleReason;
}

export class CachedTag {
  readonly #options: CachedTagOptions;
  readonly #checks = new SingleFlight<Checked>();
  readonly #resolves = new SingleFlight<TagEntry>();

  constructor(options: CachedTagOptions) {
    this.#options = options;
  }

  /** HEAD. Errors: UpstreamError, MANIFEST_UNKNOWN. */
  async resolve(
    record: RepositoryRecord,
    repository: Repository,
    tag: Tag,
    options: ReadOptions,
  ): Promise<ResolveAnswer> {
    const known = await this.#current(record, repository, tag, options);
    if (known !== undefined) return this.#answer(known);
    const { value: entry, joined } = await this.#resolves.run(`${record.name}:${tag}`, options.signal, () =>
      this.#ask(record, tag, async () => {
        const { descriptor, checkedAt } = await this.#options.origin.resolve(repository, tag, {
          signal: this.#options.signal,
        });
        return this.#point(record, tag, descriptor, checkedAt);
      }),
    );
    return { outcome: joined ? 'joined' : 'miss', descriptor: entry.descriptor, checkedAt: entry.checkedAt };
  }

  /** GET. Errors: UpstreamError, MANIFEST_UNKNOWN. */
  async manifest(
    record: RepositoryRecord,
    repository: Repository,
    tag: Tag,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    const known = await this.#current(record, repository, tag, options);
    if (known?.held !== undefined) return { ...this.#answer(known), bytes: known.held.bytes };
    const reference = known?.entry.descriptor.digest ?? tag;
    const { held, outcome, checkedAt } = await this.#ask(record, tag, () =>
      this.#options.byDigest.fetch(record, repository, reference, options.signal),
    );
    const entry = known?.entry ?? this.#point(record, tag, held.descriptor, checkedAt);
    this.#options.manifests.touch(held);
    return { outcome, descriptor: held.descriptor, bytes: held.bytes, checkedAt: entry.checkedAt };
  }

  /** What may go out for a tag that is held; undefined: the upstream has to be asked. */
  async #current(
    record: RepositoryRecord,
    repository: Repository,
    tag: Tag,
    options: ReadOptions,
  ): Promise<Checked | undefined> {
    const entry = record.tag(tag);
    if (entry === undefined) return undefined;
    const { origin, offline, policy } = this.#options;
    const health = origin.health();
    const upstream = { offline, away: health.away, pausedUntil: health.pausedUntil('manifest') };
    const decision = decide(
      entry.checkedAt,
      this.#options.now(),
      policy,
      upstream,
      options.mustCheck ?? false,
    );
    if (decision.kind === 'ask') return undefined;
    const held = await this.#options.byDigest.held(record, entry.descriptor.digest);
    if (decision.kind === 'fresh') return { entry, held, outcome: 'hit' };
    if (decision.kind === 'stale') return this.#stale(record, { entry, held }, decision.reason);
    return this.#check(record, repository, tag, { entry, held }, options);
  }

  /** One HEAD for all who wait; none of them longer than `check_timeout` when something held can go out. */
  async #check(
    record: RepositoryRecord,
    repository: Repository,
    tag: Tag,
    known: HeldTag,
    options: ReadOptions,
  ): Promise<Checked | undefined> {
    const key = `${record.name}:${tag}`;
    const patienceMs = this.#options.policy.checkTimeoutMs - this.#checks.ageMs(key);
    const check = this.#checks.run(key, options.signal, () =>
      this.#confirm(record, repository, tag, known, options.mustCheck),
    );
    if (known.held !== undefined && (await settleWithin(check, Math.max(0, patienceMs))) === 'late') {
      check.catch(() => {}); // it ends behind: the next client sees what it found
      const ageMs = this.#options.now() - known.entry.checkedAt;
      const isYoung = ageMs <= this.#options.policy.staleIfErrorMs;
      if (isYoung && (await this.#options.availability.isComplete(record, known.held))) {
        return this.#stale(record, known, 'slow');
      }
    }
    try {
      return (await check).value;
    } catch (error) {
      options.signal.throwIfAborted();
      const reason = staleAfter(error, known.entry.checkedAt, this.#options.now(), this.#options.policy);
      if (reason !== undefined && known.held !== undefined) return this.#stale(record, known, reason);
      if (isGone(error)) record.removeTag(tag);
      throw error;
    }
  }

  async #confirm(
    record: RepositoryRecord,
    repository: Repository,
    tag: Tag,
    known: HeldTag,
    mustCheck = false,
  ): Promise<Checked> {
    const { origin, byDigest, logger, signal } = this.#options;
    const { descriptor, checkedAt } = await origin.resolve(repository, tag, { signal, mustCheck });
    const point = () => this.#point(record, tag, descriptor, checkedAt);
    if (descriptor.digest === known.entry.descriptor.digest) {
      return { entry: point(), held: known.held, outcome: 'hit' };
    }
    const already = await byDigest.held(record, descriptor.digest);
    if (already !== undefined) return { entry: point(), held: already, outcome: 'hit' };
    if (known.held !== undefined && origin.health().quotaLow)
      return { ...known, outcome: 'stale', stale: 'budget' };
    const { held } = await byDigest.fetch(record, repository, descriptor.digest, signal);
    logger.info('tag moved', {
      repository: record.name,
      tag,
      from: known.entry.descriptor.digest,
      to: descriptor.digest,
    });
    return { entry: point(), held, outcome: 'miss' };
  }

  async #stale(record: RepositoryRecord, known: HeldTag, reason: StaleReason): Promise<Checked | undefined> {
    if (known.held === undefined) return undefined;
    const away = reason === 'offline' || reason === 'unreachable';
    if (away && !(await this.#options.availability.isComplete(record, known.held))) {
      throw incomplete(this.#options.origin.key, known.entry.descriptor.digest);
    }
    return { ...known, outcome: 'stale', stale: reason };
  }

  /** Asks for something not held, unless a signature or the like was missed a moment ago. */
  async #ask<T>(record: RepositoryRecord, tag: Tag, question: () => Promise<T>): Promise<T> {
    if (!isDiscoveryTag(tag)) return question();
    const { absent } = this.#options;
    const key = `${record.name}:${tag}`;
    const missed = absent.get(key);
    if (missed?.kind === 'fresh') throw absentError(tag, missed.at);
    try {
      const found = await question();
      absent.forget(key);
      return found;
    } catch (error) {
      if (isGone(error)) absent.remember(key);
      else if (missed !== undefined && error instanceof RegistryError) throw absentError(tag, missed.at);
      throw error;
    }
  }

  #point(
    record: RepositoryRecord,
    tag: Tag,
    descriptor: Descriptor,
    checkedAt = this.#options.now(),
  ): TagEntry {
    const entry = { descriptor, checkedAt };
    record.setTag(tag, entry);
    return entry;
  }

  #answer({ entry, held, outcome, stale }: Checked): ResolveAnswer {
    if (held !== undefined) this.#options.manifests.touch(held);
    const descriptor = held?.descriptor ?? entry.descriptor;
    return { outcome, descriptor, checkedAt: entry.checkedAt, ...(stale === undefined ? {} : { stale }) };
  }
}

function isGone(error: unknown): boolean {
  return (
    error instanceof RegistryError && error.code === 'MANIFEST_UNKNOWN' && error.detail?.['reason'] === 'gone'
  );
}

function absentError(tag: Tag, at: number): RegistryError {
  return new RegistryError('MANIFEST_UNKNOWN', {
    message: `the upstream had no tag ${tag} when it was last asked`,
    detail: { reason: 'gone', checkedAt: new Date(at).toISOString() },
  });
}
