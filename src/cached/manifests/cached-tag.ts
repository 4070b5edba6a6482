/**
 * Tags: held ones go out within their ttl, are checked by one HEAD after it, and go out stale when the check fails or takes too
 * long (docs/behaviour.md, "A tag"). Clients that ask during a check wait for it; a check outlives its clients.
 */
import type { HeldManifest, HotManifests } from '../../content/hot-manifests.ts';
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { SingleFlight } from '../../lib/single-flight.ts';
import { settleWithin } from '../../lib/wait.ts';
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import type { Repository, Tag } from '../../oci/name.ts';
import { parseReferrersTag } from '../../oci/referrer-list.ts';
import { type Origin, traceOf } from '../../registry/origin.ts';
import type { ManifestAnswer, ReadOptions, ResolveAnswer, StaleReason } from '../../registry/registry.ts';
import type { RepositoryRecord, TagEntry } from '../../store/records/repository-record.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Outcome } from '../../telemetry/observer.ts';
import {
  type CachedManifest,
  type FetchedManifest,
  isGone,
  isRefusedByDigest,
  missingError,
} from './cached-manifest.ts';
import { decide, isFresh, staleAfter, type TagPolicy, TagTtls } from './freshness.ts';

const maxMissingTags = 10_000;

export interface CachedTagOptions {
  readonly tags: TagPolicy;
  readonly offline: boolean;
  readonly manifests: HotManifests;
  readonly logger: Logger;
  /** Ends requests that outlive their clients. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** What is held of a tag; without the manifest when only a HEAD was answered so far. */
interface HeldTag {
  readonly entry: TagEntry;
  readonly held: HeldManifest | undefined;
}

interface Checked extends HeldTag {
  readonly outcome: Outcome;
  readonly stale?: StaleReason;
}

export class CachedTag {
  readonly #origin: Origin;
  readonly #byDigest: CachedManifest;
  readonly #options: CachedTagOptions;
  readonly #ttls: TagTtls;
  /** Tags that the upstream lacked. Of a discovery tag an expired entry still answers while the upstream can't be asked. */
  readonly #missingTags: ExpiringMap<string, true>;
  readonly #checks = new SingleFlight<Checked>();
  readonly #resolves = new SingleFlight<TagEntry>();

  constructor(origin: Origin, byDigest: CachedManifest, options: CachedTagOptions) {
    this.#origin = origin;
    this.#byDigest = byDigest;
    this.#options = options;
    const { tags, now } = options;
    this.#ttls = new TagTtls(tags);
    this.#missingTags = new ExpiringMap({ maxEntries: maxMissingTags, ttlMs: tags.negativeTtlMs, now });
  }

  /** HEAD. Errors: UpstreamError, MANIFEST_UNKNOWN. */
  async resolve(
    record: RepositoryRecord,
    repository: Repository,
    tag: Tag,
    options: ReadOptions,
  ): Promise<ResolveAnswer> {
    const known = await this.#current(record, repository, tag, options, 'HEAD');
    if (known !== undefined) return this.#answer(known);
    const { value: entry, joined } = await this.#resolves.run(`${record.name}:${tag}`, options.signal, () =>
      this.#ask(record, tag, async () => {
        const { descriptor, checkedAt, bytes } = await this.#origin.resolve(repository, tag, {
          signal: this.#options.signal,
          ...traceOf(options),
        });
        if (bytes !== undefined) await this.#byDigest.keep(record, descriptor, bytes);
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
    const known = await this.#current(record, repository, tag, options, 'GET');
    if (known?.held !== undefined) return { ...this.#answer(known), bytes: known.held.bytes };
    const digest = known?.entry.descriptor.digest;
    const { held, outcome, checkedAt } = await this.#ask(record, tag, () =>
      this.#fetch(record, repository, tag, digest, options),
    );
    const isKnown = held.descriptor.digest === digest;
    const entry =
      (isKnown ? known?.entry : undefined) ?? this.#point(record, tag, held.descriptor, checkedAt);
    this.#options.manifests.touch(held);
    return { outcome, descriptor: held.descriptor, bytes: held.bytes, checkedAt: entry.checkedAt };
  }

  /** What may go out of what is held of the tag. Undefined: the upstream has to be asked. */
  async #current(
    record: RepositoryRecord,
    repository: Repository,
    tag: Tag,
    options: ReadOptions,
    method: 'HEAD' | 'GET',
  ): Promise<Checked | undefined> {
    const entry = record.tag(tag);
    if (entry === undefined) return undefined;
    const { offline, tags } = this.#options;
    const { mustCheck = false } = options;
    const health = this.#origin.health();
    const upstream = { offline, away: health.away, pausedUntil: health.pausedUntil('manifest') };
    const bounds = { ttlMs: this.#ttls.of(record.name, tag), staleIfErrorMs: tags.staleIfErrorMs };
    const decision = decide(entry.checkedAt, this.#options.now(), bounds, upstream, mustCheck);
    if (decision.kind === 'ask') return undefined;
    const held = await this.#byDigest.held(record, entry.descriptor.digest);
    if (decision.kind === 'fresh') return { entry, held, outcome: 'hit' };
    if (decision.kind === 'stale') return this.#stale(record, { entry, held }, decision.reason, method);
    return this.#check(record, repository, tag, { entry, held }, options, method);
  }

  /** One HEAD for all callers. None waits longer than `check_timeout` when what is held can go out. */
  async #check(
    record: RepositoryRecord,
    repository: Repository,
    tag: Tag,
    known: HeldTag,
    options: ReadOptions,
    method: 'HEAD' | 'GET',
  ): Promise<Checked | undefined> {
    const key = `${record.name}:${tag}`;
    const { now, tags } = this.#options;
    const waitMs = Math.max(0, tags.checkTimeoutMs - this.#checks.ageMs(key));
    const check = this.#checks.run(key, options.signal, () =>
      this.#confirm(record, repository, tag, known, options),
    );
    if (known.held !== undefined && (await settleWithin(check, waitMs)) === 'late') {
      check.catch(() => {}); // it goes on: the next client gets its result
      const isYoung = now() - known.entry.checkedAt <= tags.staleIfErrorMs;
      if (isYoung && (await this.#byDigest.isComplete(record, known.held))) {
        return this.#stale(record, known, 'slow', method);
      }
    }
    try {
      return (await check).value;
    } catch (error) {
      options.signal.throwIfAborted();
      const reason = staleAfter(error, known.entry.checkedAt, now(), tags);
      if (reason !== undefined && known.held !== undefined) return this.#stale(record, known, reason, method);
      if (isGone(error)) record.removeTag(tag, now());
      throw error;
    }
  }

  async #confirm(
    record: RepositoryRecord,
    repository: Repository,
    tag: Tag,
    known: HeldTag,
    { mustCheck = false, ...asked }: ReadOptions,
  ): Promise<Checked> {
    const { logger, signal } = this.#options;
    const headOnly = known.held !== undefined && this.#origin.health().quotaLow;
    const question = { signal, mustCheck, ...(headOnly && { headOnly }), ...traceOf(asked) };
    const { descriptor, checkedAt, bytes } = await this.#origin.resolve(repository, tag, question);
    const given = bytes === undefined ? undefined : await this.#byDigest.keep(record, descriptor, bytes);
    const point = () => this.#point(record, tag, descriptor, checkedAt);
    if (descriptor.digest === known.entry.descriptor.digest) {
      return { entry: point(), held: known.held ?? given, outcome: 'hit' };
    }
    const already = given === undefined ? await this.#byDigest.held(record, descriptor.digest) : undefined;
    if (already !== undefined) return { entry: point(), held: already, outcome: 'hit' };
    if (given === undefined && known.held !== undefined && this.#origin.health().quotaLow)
      return { ...known, outcome: 'stale', stale: 'pull-quota' };
    const fetching = { signal, ...traceOf(asked) };
    const held = given ?? (await this.#fetch(record, repository, tag, descriptor.digest, fetching)).held;
    if (held.descriptor.digest === known.entry.descriptor.digest) {
      return { entry: this.#point(record, tag, held.descriptor, checkedAt), held, outcome: 'hit' };
    }
    logger.info('tag moved', {
      repository: record.name,
      tag,
      from: known.entry.descriptor.digest,
      to: held.descriptor.digest,
    });
    return { entry: this.#point(record, tag, held.descriptor, checkedAt), held, outcome: 'miss' };
  }

  /** By the digest that HEAD gave; by tag where the upstream doesn't give it by that digest. Errors: UpstreamError. */
  async #fetch(
    record: RepositoryRecord,
    repository: Repository,
    tag: Tag,
    digest: Digest | undefined,
    options: Pick<ReadOptions, 'signal' | 'requestId'>,
  ): Promise<FetchedManifest> {
    if (digest === undefined) return this.#byDigest.fetch(record, repository, tag, options);
    try {
      return await this.#byDigest.fetch(record, repository, digest, options);
    } catch (error) {
      if (!isRefusedByDigest(error)) throw error;
      return this.#byDigest.fetch(record, repository, tag, options);
    }
  }

  /** No pull follows from a HEAD: only a GET needs the whole image. */
  async #stale(
    record: RepositoryRecord,
    known: HeldTag,
    reason: StaleReason,
    method: 'HEAD' | 'GET',
  ): Promise<Checked | undefined> {
    if (known.held === undefined) return undefined;
    const away = reason === 'offline' || reason === 'unreachable';
    if (away && method === 'GET') await this.#byDigest.requireComplete(record, known.held);
    return { ...known, outcome: 'stale', stale: reason };
  }

  /** `ask` for a tag that isn't held, unless the upstream lacked it within `negative_ttl`. */
  async #ask<T>(record: RepositoryRecord, tag: Tag, ask: () => Promise<T>): Promise<T> {
    const key = `${record.name}:${tag}`;
    const missing = this.#missingTags.getExpired(key) ?? this.#missBeforeRestart(record, tag);
    if (missing?.isFresh) throw missingError(tag, missing.setAtMs);
    try {
      const found = await ask();
      this.#missingTags.delete(key);
      return found;
    } catch (error) {
      if (isGone(error)) {
        this.#missingTags.set(key, true);
        const subject = parseReferrersTag(tag)?.subject;
        if (subject !== undefined && record.knows(subject)) record.setMiss(tag, this.#options.now());
      } else if (missing !== undefined && isDiscoveryTag(tag) && error instanceof RegistryError)
        throw missingError(tag, missing.setAtMs);
      throw error;
    }
  }

  #missBeforeRestart(record: RepositoryRecord, tag: Tag) {
    const setAtMs = record.miss(tag);
    if (setAtMs === undefined) return undefined;
    const { now, tags } = this.#options;
    return { setAtMs, isFresh: isFresh(setAtMs, now(), { ttlMs: tags.negativeTtlMs }) };
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

/** Clients ask for these at every pull, and most images lack them: the referrers fallback tag, signatures and the like. */
export function isDiscoveryTag(tag: Tag): boolean {
  return /^sha(?:256|512)-/.test(tag) || tag.endsWith('.sig');
}
