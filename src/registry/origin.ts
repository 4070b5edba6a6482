/**
 * One remote registry as the cache sees it: the contract, plus where its blobs can be read from and how it is doing.
 * `upstream/` implements it over HTTP; `OfflineOrigin` for a mirror that never calls out.
 */
import type { Digest } from '../oci/digest.ts';
import type { Repository } from '../oci/name.ts';
import type { Kind } from '../telemetry/observer.ts';
import type { BlobSource, ForeignAnswer, ForeignQuestion, ReadOptions, RegistryReader } from './registry.ts';
import { UpstreamError } from './upstream-error.ts';

/** Counted requests: so many are allowed in a window, and so many of them are left. */
export interface QuotaReading {
  readonly limit: number;
  readonly remaining: number;
  /** Milliseconds since the epoch: the window has passed then. */
  readonly untilMs: number;
}

export interface OriginHealth {
  /** It failed and isn't asked until a probe succeeds. */
  readonly away: boolean;
  /** Few counted requests are left: manifests are only fetched when nothing is held. */
  readonly quotaLow: boolean;
  /** What the upstream last said about its pull limit. Undefined or absent: it said nothing that still holds. */
  readonly quota?: QuotaReading | undefined;
  /** Until when it asked not to be asked (Retry-After), in ms since the epoch. */
  pausedUntil(kind: Kind): number | undefined;
}

export interface Origin extends RegistryReader {
  /** The configured key: `docker.io`. */
  readonly key: string;
  foreign(repository: Repository, question: ForeignQuestion, options: ReadOptions): Promise<ForeignAnswer>;
  blobSource(repository: Repository, digest: Digest): BlobSource;
  health(): OriginHealth;
  close(): Promise<void>;
}

/** `offline: true`: every method fails with `offline`, nothing is dialled. */
export class OfflineOrigin implements Origin {
  readonly key: string;

  constructor(key: string) {
    this.key = key;
  }

  resolve(): Promise<never> {
    return this.#refuse('manifest');
  }

  manifest(): Promise<never> {
    return this.#refuse('manifest');
  }

  stat(): Promise<never> {
    return this.#refuse('blob');
  }

  blob(): Promise<never> {
    return this.#refuse('blob');
  }

  tags(): Promise<never> {
    return this.#refuse('tags');
  }

  referrers(): Promise<never> {
    return this.#refuse('referrers');
  }

  foreign(_repository: Repository, question: ForeignQuestion): Promise<never> {
    return this.#refuse(question.of);
  }

  blobSource(repository: Repository): BlobSource {
    return { upstream: this.key, repository, open: () => this.#refuse('blob') };
  }

  health(): OriginHealth {
    return { away: true, quotaLow: false, pausedUntil: () => undefined };
  }

  async close(): Promise<void> {}

  #refuse(kind: Kind): Promise<never> {
    const message = 'not held, and this mirror is offline by its configuration';
    return Promise.reject(new UpstreamError({ upstream: this.key, kind, failure: 'offline', message }));
  }
}

/**
 * An origin that another one can take the place of while the mirror runs: other credentials, other certificates. Transfers
 * that run go on with the origin that they began with; all of them are closed at the end.
 */
export class ReloadableOrigin implements Origin {
  readonly key: string;
  #current: Origin;
  readonly #earlier: Origin[] = [];

  constructor(first: Origin) {
    this.key = first.key;
    this.#current = first;
  }

  /** For questions from now on. */
  replace(next: Origin): void {
    this.#earlier.push(this.#current);
    this.#current = next;
  }

  resolve(...asked: Parameters<Origin['resolve']>): ReturnType<Origin['resolve']> {
    return this.#current.resolve(...asked);
  }

  manifest(...asked: Parameters<Origin['manifest']>): ReturnType<Origin['manifest']> {
    return this.#current.manifest(...asked);
  }

  stat(...asked: Parameters<Origin['stat']>): ReturnType<Origin['stat']> {
    return this.#current.stat(...asked);
  }

  blob(...asked: Parameters<Origin['blob']>): ReturnType<Origin['blob']> {
    return this.#current.blob(...asked);
  }

  tags(...asked: Parameters<Origin['tags']>): ReturnType<Origin['tags']> {
    return this.#current.tags(...asked);
  }

  referrers(...asked: Parameters<Origin['referrers']>): ReturnType<Origin['referrers']> {
    return this.#current.referrers(...asked);
  }

  foreign(...asked: Parameters<Origin['foreign']>): ReturnType<Origin['foreign']> {
    return this.#current.foreign(...asked);
  }

  blobSource(repository: Repository, digest: Digest): BlobSource {
    return this.#current.blobSource(repository, digest);
  }

  health(): OriginHealth {
    return this.#current.health();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#earlier, this.#current].map(origin => origin.close()));
  }
}

/** `overrides` may be an object with a prototype: its methods are called on it. The key stays the origin's. */
export function mapOrigin(origin: Origin, overrides: Omit<Partial<Origin>, 'key'>): Origin {
  return {
    key: origin.key,
    resolve: (...asked) => overrides.resolve?.(...asked) ?? origin.resolve(...asked),
    manifest: (...asked) => overrides.manifest?.(...asked) ?? origin.manifest(...asked),
    stat: (...asked) => overrides.stat?.(...asked) ?? origin.stat(...asked),
    blob: (...asked) => overrides.blob?.(...asked) ?? origin.blob(...asked),
    foreign: (...asked) => overrides.foreign?.(...asked) ?? origin.foreign(...asked),
    blobSource: (...asked) => overrides.blobSource?.(...asked) ?? origin.blobSource(...asked),
    tags: (...asked) => overrides.tags?.(...asked) ?? origin.tags(...asked),
    referrers: (...asked) => overrides.referrers?.(...asked) ?? origin.referrers(...asked),
    health: () => overrides.health?.() ?? origin.health(),
    close: () => overrides.close?.() ?? origin.close(),
  };
}

/** What a wrapper may say anew of a source. */
export type SourceOverrides = Partial<Pick<BlobSource, 'open' | 'parallel'>>;

/** `override` is called once for the source and once for each of its alternatives: all of them are wrapped. */
export function wrapSource(source: BlobSource, override: (inner: BlobSource) => SourceOverrides): BlobSource {
  const { upstream, repository, parallel, alternatives } = source;
  return {
    upstream,
    repository,
    ...(alternatives !== undefined && {
      alternatives: alternatives.map(alternative => wrapSource(alternative, override)),
    }),
    ...(parallel !== undefined && { parallel }),
    roundTripMs: () => source.roundTripMs?.(),
    open: (offset, options) => source.open(offset, options),
    ...override(source),
  };
}

/** The client's request id, for a question that outlives its client. Those who join it have ids of their own in the log alone. */
export function traceOf({ requestId }: Pick<ReadOptions, 'requestId'>): Pick<ReadOptions, 'requestId'> {
  return requestId === undefined ? {} : { requestId };
}
