/**
 * One remote registry as a `RegistryReader`: what it says, verified where a digest is at hand, and every failure as an
 * `UpstreamError`. It keeps nothing but tokens and what it knows of the upstream's health. It owns its connections.
 */
import type { Digest } from '../oci/digest.ts';
import { buildEndpoint } from '../oci/endpoint.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
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
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import { Authorizer } from './authorize.ts';
import { answerBlob } from './blob-answer.ts';
import { Blobs } from './blobs.ts';
import type { Lookup } from './dial.ts';
import { Failures } from './failures.ts';
import { Health } from './health.ts';
import { urlOf } from './journey.ts';
import { Manifests } from './manifests.ts';
import { Operations } from './operations.ts';
import { probe } from './probe.ts';
import { createRealmClient } from './realm-client.ts';
import { fetchReferrers } from './referrers.ts';
import { Requester } from './requester.ts';
import { fetchTags } from './tag-list.ts';
import { systemTimers, type Timers } from './timers.ts';
import { TokenSource } from './token.ts';
import { Transport } from './transport.ts';

export interface UpstreamOptions {
  /** As configured: `docker.io`. */
  readonly key: string;
  /** http or https; may have a path, under which the API is. */
  readonly url: URL;
  readonly credentials?: { readonly username: string; readonly password: string };
  /** Certificates in PEM, trusted beside the public ones. */
  readonly ca?: string;
  /** Any certificate will do. */
  readonly insecure: boolean;
  /** Which addresses names are resolved to. */
  readonly ip: 'any' | 4 | 6;
  /** Hosts (or `host:port`) beside the upstream's own that may ask for its credentials. */
  readonly tokenHosts: readonly string[];
  /** Blob bodies at once, per host. */
  readonly maxTransfers: number;
  readonly timeouts: {
    readonly connectMs: number;
    /** Of a whole operation until its answer. */
    readonly firstByteMs: number;
    /** Not used here: whoever reads a transfer watches it. */
    readonly stallMs: number;
    readonly giveUpMs: number;
  };
  readonly userAgent: string;
}

export interface UpstreamDependencies {
  readonly observer: Observer;
  readonly logger: Logger;
  /** ms since the epoch. */
  now(): number;
  readonly timers?: Timers;
  readonly lookup?: Lookup;
}

/** dockerd asks HEAD and then GET; podman tries again after a few seconds. */
const failureTtlMs = 10_000;

export class UpstreamRegistry implements Origin {
  readonly key: string;
  readonly #options: UpstreamOptions & UpstreamDependencies;
  readonly #transport: Transport;
  readonly #health: Health;
  readonly #operations: Operations;
  readonly #requester: Requester;
  readonly #manifests: Manifests;
  readonly #blobs: Blobs;

  constructor(options: UpstreamOptions & UpstreamDependencies) {
    this.key = options.key;
    this.#options = options;
    const { key, url, observer, logger, now, credentials, tokenHosts, timers = systemTimers } = options;
    const budgetMs = options.timeouts.firstByteMs;
    const failures = new Failures({ ttlMs: failureTtlMs, now });
    const transport = new Transport({ ...options, ca: options.ca, connectMs: options.timeouts.connectMs });
    const health = new Health({
      key,
      observer,
      logger,
      timers,
      now,
      probe: () => probe({ transport, url: urlOf(url, buildEndpoint({ kind: 'ping' })), timers, budgetMs }),
      onBack: () => failures.forgetUnreachable(),
    });
    const ask = createRealmClient({ key, transport, health, failures, timers, budgetMs, now });
    const tokens = new TokenSource({ upstream: key, now, ask });
    const authorizer = new Authorizer({ url, tokenHosts, credentials, tokens });
    const requester = new Requester({
      key,
      url,
      transport,
      authorizer,
      health,
      failures,
      logger,
      timers,
      now,
    });
    this.#transport = transport;
    this.#health = health;
    this.#requester = requester;
    this.#operations = new Operations({ key, failures, timers, budgetMs });
    this.#manifests = new Manifests({ key, requester, transport, observer, logger });
    const { maxTransfers } = options;
    this.#blobs = new Blobs({
      key,
      requester,
      operations: this.#operations,
      transport,
      maxTransfers,
      observer,
    });
  }

  async resolve(repository: Repository, reference: Reference, options: ReadOptions): Promise<ResolveAnswer> {
    const operation = {
      kind: 'manifest',
      subject: `${repository} ${reference}`,
      signal: options.signal,
    } as const;
    const descriptor = await this.#operations.run(operation, budget =>
      this.#manifests.resolve(repository, reference, budget),
    );
    return { outcome: 'passthrough', checkedAt: this.#options.now(), descriptor };
  }

  async manifest(
    repository: Repository,
    reference: Reference,
    options: ReadOptions,
  ): Promise<ManifestAnswer> {
    const operation = {
      kind: 'manifest',
      subject: `${repository} ${reference}`,
      signal: options.signal,
    } as const;
    const fetched = await this.#operations.run(operation, budget =>
      this.#manifests.fetch(repository, reference, budget),
    );
    return { outcome: 'passthrough', checkedAt: this.#options.now(), ...fetched };
  }

  async stat(repository: Repository, digest: Digest, options: ReadOptions): Promise<StatAnswer> {
    const size = await this.#blobs.stat(repository, digest, options.signal);
    return { outcome: 'passthrough', checkedAt: this.#options.now(), size };
  }

  /** The bytes come unverified: `cached/` verifies. */
  async blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions,
  ): Promise<BlobAnswer> {
    const open = (signal: AbortSignal) => this.#blobs.open(repository, digest, range, { signal });
    return { checkedAt: this.#options.now(), ...(await answerBlob(range, options.signal, open)) };
  }

  blobSource(repository: Repository, digest: Digest): BlobSource {
    let hasGiven = false;
    return {
      upstream: this.key,
      repository,
      open: async (offset, { signal, end, background = false }) => {
        const range =
          end !== undefined ? { first: offset, last: end - 1 } : offset > 0 ? { first: offset } : undefined;
        // a transfer that had bytes has a backoff of its own: it isn't held up by what others were told
        const opened = await this.#blobs.open(repository, digest, range, {
          signal,
          background,
          ignoreBreaker: hasGiven,
        });
        hasGiven = true;
        return opened;
      },
    };
  }

  async tags(repository: Repository, options: PageOptions): Promise<TagsPage> {
    const operation = { kind: 'tags', subject: repository, signal: options.signal } as const;
    const context = { key: this.key, requester: this.#requester, transport: this.#transport };
    const page = await this.#operations.run(operation, budget =>
      fetchTags(context, repository, options, budget),
    );
    return { outcome: 'passthrough', checkedAt: this.#options.now(), ...page };
  }

  async referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    const operation = {
      kind: 'referrers',
      subject: `${repository} ${digest}`,
      signal: options.signal,
    } as const;
    const { key } = this;
    const context = {
      key,
      requester: this.#requester,
      manifests: this.#manifests,
      transport: this.#transport,
    };
    const question = { repository, digest, artifactType, query: options.query };
    const page = await this.#operations.run(operation, budget => fetchReferrers(context, question, budget));
    return { outcome: 'passthrough', checkedAt: this.#options.now(), ...page };
  }

  health(): OriginHealth {
    return this.#health;
  }

  /** Cuts running transfers. Idempotent. */
  async close(): Promise<void> {
    this.#health.close();
    await this.#transport.close();
  }
}
