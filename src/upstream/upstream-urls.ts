/**
 * One upstream at several URLs. Each has its own connections, tokens, breaker, pauses and memory of failures; to the
 * house they are one `Origin` under one key, and one operation is one budget over all of them. Credentials are the first
 * one's: the others are asked without.
 */
import type { Digest } from '../oci/digest.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import { wrapSource } from '../registry/map-origin.ts';
import type { Origin, OriginHealth } from '../registry/origin.ts';
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
} from '../registry/registry.ts';
import type { UpstreamError } from '../registry/upstream-error.ts';
import { UrlHealth } from './health/url-health.ts';
import { FailoverClock, type FailoverOptions, failOver, isRefusal } from './request/failover.ts';
import type { UpstreamDependencies, UpstreamOptions, UpstreamSource } from './upstream-options.ts';
import { UpstreamRegistry } from './upstream-registry.ts';

export interface SeveralUrls {
  /** After `url`, in the order in which they are asked. */
  readonly fallbacks: readonly URL[];
}

export function openUpstream(options: UpstreamOptions & UpstreamDependencies & SeveralUrls): Origin {
  const { fallbacks, ...first } = options;
  return fallbacks.length === 0 ? new UpstreamRegistry(first) : new UpstreamUrls(first, fallbacks);
}

class UpstreamUrls implements Origin {
  readonly key: string;
  readonly #members: readonly UpstreamRegistry[];
  readonly #health: UrlHealth;
  readonly #turns: FailoverOptions;

  constructor(options: UpstreamOptions & UpstreamDependencies, fallbacks: readonly URL[]) {
    const { credentials: _firstOnly, ...anonymous } = options;
    this.key = options.key;
    this.#turns = { budgetMs: options.timeouts.firstByteMs, now: options.now };
    this.#health = new UrlHealth(
      options.key,
      options.healthObserver ?? options.observer,
      1 + fallbacks.length,
    );
    this.#members = [options, ...fallbacks.map(url => ({ ...anonymous, url }))].map(
      (member, index) => new UpstreamRegistry({ ...member, healthObserver: this.#health.observerOf(index) }),
    );
    this.#health.watch(this.#members.map(member => member.health()));
  }

  resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    return this.#ask((member, budgetMs) => member.resolve(repository, reference, { ...options, budgetMs }));
  }

  manifest(repository: Repository, reference: Reference, options: ReadOptions): Promise<ManifestAnswer> {
    return this.#ask((member, budgetMs) => member.manifest(repository, reference, { ...options, budgetMs }));
  }

  stat(repository: Repository, digest: Digest, options: ReadOptions): Promise<StatAnswer> {
    return this.#ask((member, budgetMs) => member.stat(repository, digest, { ...options, budgetMs }));
  }

  blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    return this.#ask((member, budgetMs) => member.blob(repository, digest, range, { ...options, budgetMs }));
  }

  tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    return this.#ask((member, budgetMs) => member.tags(repository, { ...options, budgetMs }));
  }

  referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    return this.#ask((member, budgetMs) =>
      member.referrers(repository, digest, artifactType, { ...options, budgetMs }),
    );
  }

  /** Of the first URL, with the others as its alternatives. */
  blobSource(repository: Repository, digest: Digest): BlobSource {
    const start = new TransferStart(this.#turns, this.#members.length);
    const sources = this.#members.map((member, index) =>
      start.watch(member.blobSource(repository, digest), index),
    );
    const [first, ...alternatives] = sources;
    if (first === undefined) throw new Error('expected at least one URL, got none');
    return { ...first, alternatives };
  }

  health(): OriginHealth {
    return this.#health;
  }

  /** Cuts running transfers. Idempotent. */
  async close(): Promise<void> {
    await Promise.all(this.#members.map(member => member.close()));
  }

  #ask<Result>(ask: (member: UpstreamRegistry, budgetMs: number) => Promise<Result>): Promise<Result> {
    return failOver(this.#members, this.#turns, ask);
  }
}

/**
 * Until one URL has given bytes, opening a transfer is one operation over all of them: one budget, and who says no says
 * it for all. Afterwards each is a source of its own, with the time of its own.
 */
class TransferStart {
  readonly #options: FailoverOptions;
  readonly #count: number;
  #clock: FailoverClock | undefined;
  #hasGiven = false;
  #refusal: UpstreamError | undefined;

  constructor(options: FailoverOptions, count: number) {
    this.#options = options;
    this.#count = count;
  }

  watch(source: UpstreamSource, index: number): BlobSource {
    return wrapSource(source, () => ({
      parallel: false, // its URLs fail over together: several transfers would share one clock and one refusal
      open: async (offset, options) => {
        if (this.#hasGiven) return await source.open(offset, options);
        if (this.#refusal !== undefined) throw this.#refusal;
        try {
          const opened = await source.open(offset, { ...options, ...this.#share(index, options.background) });
          this.#hasGiven = true;
          return opened;
        } catch (error) {
          if (isRefusal(error)) this.#refusal = error;
          throw error;
        }
      },
    }));
  }

  /** Work that nobody waits for may queue: its time isn't everybody's. */
  #share(index: number, isBackground = false): { readonly budgetMs?: number } {
    if (isBackground) return {};
    if (this.#clock === undefined || this.#clock.isOver) this.#clock = new FailoverClock(this.#options);
    return { budgetMs: this.#clock.share(this.#count - index) };
  }
}
