/**
 * One upstream at several URLs. Each has its own connections, tokens, breaker, pauses and remembered failures; together
 * they are one `Origin` under one key, and one operation has one deadline over all of them. Credentials are the first
 * one's: the others are asked without.
 */
import type { Digest } from '../oci/digest.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import { type Origin, type OriginHealth, type QuotaReading, wrapSource } from '../registry/origin.ts';
import type {
  BlobAnswer,
  BlobSource,
  ForeignAnswer,
  ForeignQuestion,
  ManifestAnswer,
  PageOptions,
  ReadOptions,
  ReferrersAnswer,
  ResolveAnswer,
  StatAnswer,
  TagsPage,
} from '../registry/registry.ts';
import type { UpstreamError } from '../registry/upstream-error.ts';
import type { Kind } from '../telemetry/observer.ts';
import type { HealthObserver } from './health/health.ts';
import { prefixOrigin } from './prefixed-origin.ts';
import { FailoverClock, type FailoverOptions, failOver, isRefusal } from './request/failover.ts';
import { type UpstreamOptions, UpstreamRegistry, type UpstreamSource } from './upstream-registry.ts';

type OpenOptions = Parameters<BlobSource['open']>[1];

export interface SeveralUrls {
  /** After `url`, in the order in which they are asked. */
  readonly fallbacks: readonly URL[];
  /** Before each repository at all of them. */
  readonly prefix?: string;
}

export function openUpstream(options: UpstreamOptions & SeveralUrls): Origin {
  const { fallbacks, prefix } = options;
  const origin =
    fallbacks.length === 0 ? new UpstreamRegistry(options) : new UpstreamUrls(options, fallbacks);
  return prefix === undefined ? origin : prefixOrigin(origin, prefix);
}

class UpstreamUrls implements Origin {
  readonly key: string;
  readonly #members: readonly UpstreamRegistry[];
  readonly #health: UrlHealth;
  readonly #failover: FailoverOptions;

  constructor(options: UpstreamOptions, fallbacks: readonly URL[]) {
    const { key, healthObserver, observer, now } = options;
    this.key = key;
    this.#failover = { timeoutMs: options.timeouts.firstByteMs, now };
    this.#health = new UrlHealth(key, healthObserver ?? observer, 1 + fallbacks.length);
    this.#members = [options.url, ...fallbacks].map((url, index) => {
      const isFirst = index === 0;
      const credentials = isFirst ? options.credentials : undefined;
      const repositoryCredentials = isFirst ? (options.repositoryCredentials ?? []) : [];
      const member = {
        ...options,
        url,
        credentials,
        repositoryCredentials,
        healthObserver: this.#health.observerOf(index),
      };
      return new UpstreamRegistry(member);
    });
    this.#health.watch(this.#members.map(member => member.health()));
  }

  resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    return this.#ask((member, timeoutMs) => member.resolve(repository, reference, { ...options, timeoutMs }));
  }

  manifest(repository: Repository, reference: Reference, options: ReadOptions): Promise<ManifestAnswer> {
    return this.#ask((member, timeoutMs) =>
      member.manifest(repository, reference, { ...options, timeoutMs }),
    );
  }

  stat(repository: Repository, digest: Digest, options: ReadOptions): Promise<StatAnswer> {
    return this.#ask((member, timeoutMs) => member.stat(repository, digest, { ...options, timeoutMs }));
  }

  blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    return this.#ask((member, timeoutMs) =>
      member.blob(repository, digest, range, { ...options, timeoutMs }),
    );
  }

  foreign(repository: Repository, question: ForeignQuestion, options: ReadOptions): Promise<ForeignAnswer> {
    return this.#ask((member, timeoutMs) => member.foreign(repository, question, { ...options, timeoutMs }));
  }

  tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    return this.#ask((member, timeoutMs) => member.tags(repository, { ...options, timeoutMs }));
  }

  referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    return this.#ask((member, timeoutMs) =>
      member.referrers(repository, digest, artifactType, { ...options, timeoutMs }),
    );
  }

  /** Of the first URL, with the others as its alternatives. */
  blobSource(repository: Repository, digest: Digest): BlobSource {
    const start = new TransferStart(this.#failover, this.#members.length);
    const sources = this.#members.map((member, index) =>
      start.watch(member.blobSource(repository, digest), index),
    );
    const [first, ...alternatives] = sources;
    if (first === undefined) throw new Error('an upstream needs at least one URL');
    return { ...first, alternatives };
  }

  health(): OriginHealth {
    return this.#health;
  }

  /** Cuts running transfers. Idempotent. */
  async close(): Promise<void> {
    await Promise.all(this.#members.map(member => member.close()));
  }

  #ask<Result>(ask: (member: UpstreamRegistry, timeoutMs: number) => Promise<Result>): Promise<Result> {
    return failOver(this.#members, this.#failover, ask);
  }
}

/**
 * Until one URL has given bytes, opening a transfer is one operation over all of them: it has one deadline, and a refusal
 * of one counts for all. Afterwards each is a source of its own, with a time of its own.
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
          const opened = await source.open(offset, { ...options, ...this.#share(index, options) });
          this.#hasGiven = true;
          return opened;
        } catch (error) {
          if (isRefusal(error)) this.#refusal = error;
          throw error;
        }
      },
    }));
  }

  /** The time stands still while it waits in a queue of our own. Background work doesn't share it. */
  #share(
    index: number,
    { priority, onQueue }: OpenOptions,
  ): { readonly timeoutMs?: number; onQueue?(isWaiting: boolean): void } {
    if (priority?.isBackground === true) return {};
    if (this.#clock === undefined || this.#clock.isOver) this.#clock = new FailoverClock(this.#options);
    const clock = this.#clock;
    return {
      timeoutMs: clock.shareMs(this.#count - index),
      onQueue: isWaiting => {
        clock.queued(isWaiting);
        onQueue?.(isWaiting);
      },
    };
  }
}

/** The health of all URLs as one: away when all of them are, and paused when all are that are not away. */
export class UrlHealth implements OriginHealth {
  readonly #key: string;
  readonly #observer: HealthObserver;
  readonly #up: (boolean | undefined)[];
  readonly #open: boolean[];
  #members: readonly OriginHealth[] = [];

  constructor(key: string, observer: HealthObserver, count: number) {
    this.#key = key;
    this.#observer = observer;
    this.#up = Array.from({ length: count }, () => undefined);
    this.#open = Array.from({ length: count }, () => false);
  }

  /** In the order of the URLs. */
  watch(members: readonly OriginHealth[]): void {
    this.#members = members;
  }

  /** What the URL at `index` reports about itself becomes what is reported of the upstream. */
  observerOf(index: number): HealthObserver {
    return {
      upstreamRateLimit: (key, limit) => this.#observer.upstreamRateLimit(key, limit),
      upstreamUp: (_key, isUp) => {
        this.#up[index] = isUp;
        if (isUp || this.#up.every(up => up === false)) this.#observer.upstreamUp(this.#key, isUp);
      },
      breakerOpen: (_key, isOpen) => {
        const wasAway = this.#open.every(Boolean);
        this.#open[index] = isOpen;
        const isAway = this.#open.every(Boolean);
        if (isAway !== wasAway) this.#observer.breakerOpen(this.#key, isAway);
      },
    };
  }

  get away(): boolean {
    return this.#members.every(member => member.away);
  }

  /** Of the URL that would be asked. */
  get quotaLow(): boolean {
    return this.#members.find(member => !member.away)?.quotaLow ?? false;
  }

  get quota(): QuotaReading | undefined {
    return this.#members.find(member => !member.away)?.quota;
  }

  /** Of those that are not away: until the first of them may be asked again. */
  pausedUntil(kind: Kind): number | undefined {
    const untils = this.#members.filter(member => !member.away).map(member => member.pausedUntil(kind));
    const known = untils.filter(until => until !== undefined);
    return known.length === 0 || known.length < untils.length ? undefined : Math.min(...known);
  }
}
