/**
 * One remote registry as a `RegistryReader`: what it says, verified where a digest is at hand, and every failure as an
 * `UpstreamError`. It keeps nothing but tokens and what it knows of the upstream's health. It owns its connections.
 */
import { systemTimers, type Timers } from '../lib/wait.ts';
import type { Digest } from '../oci/digest.ts';
import { buildEndpoint } from '../oci/endpoint.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Origin, OriginHealth } from '../registry/origin.ts';
import type {
  BlobAnswer,
  BlobSource,
  ForeignAnswer,
  ForeignQuestion,
  ManifestAnswer,
  OpenedSource,
  PageOptions,
  ReadOptions,
  ReferrersAnswer,
  ResolveAnswer,
  StatAnswer,
  StatOptions,
  TagsPage,
} from '../registry/registry.ts';
import { UpstreamError } from '../registry/upstream-error.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Kind, Observer } from '../telemetry/observer.ts';
import { type Account, openAccount } from './account.ts';
import { askOrAnonymously } from './auth/authorizer.ts';
import type { CredentialProvider, RepositoryCredentials } from './auth/credential-provider.ts';
import { RealmClient } from './auth/realm.ts';
import { TokenSource } from './auth/token-source.ts';
import { UpstreamLogins } from './auth/upstream-login.ts';
import { passForeign } from './content/foreign.ts';
import { fetchReferrers } from './content/referrers.ts';
import { fetchTags } from './content/tag-list.ts';
import { answerBlob } from './content/transfer.ts';
import { probe } from './health/breaker.ts';
import { AnonymousHealth, Health, type HealthObserver } from './health/health.ts';
import type { Deadline, Operation } from './request/deadline.ts';
import { RecentFailures } from './request/recent-failures.ts';
import { urlOf } from './request/redirects.ts';
import type { ClientCertificate, Lookup } from './transport/dial.ts';
import type { ProxyOptions } from './transport/proxy.ts';
import { TransferSlots } from './transport/transfer-slots.ts';
import { Transport } from './transport/transport.ts';

export interface UpstreamOptions {
  /** As configured: `docker.io`. */
  readonly key: string;
  /** http or https; may have a path, under which the API is, and `?ns=HOST`, which goes along with every request. */
  readonly url: URL;
  /** Absent: anonymous. */
  readonly credentials?: CredentialProvider | undefined;
  /** Go before `credentials`; the first that matches counts. */
  readonly repositoryCredentials?: readonly RepositoryCredentials[];
  /** Certificates in PEM, trusted beside the public ones. */
  readonly ca?: string;
  /** For the upstream's own host alone. */
  readonly clientCertificate?: ClientCertificate;
  /** Any certificate will do. */
  readonly insecure: boolean;
  /** Which addresses names are resolved to. */
  readonly ip: 'any' | 4 | 6;
  readonly proxy?: ProxyOptions;
  /** Hosts (or `host:port`) beside the upstream's own that may ask for its credentials. */
  readonly tokenHosts: readonly string[];
  /** Blob bodies at once. */
  readonly maxTransfers: number;
  /** `firstByteMs`: of a whole operation until its answer. */
  readonly timeouts: { readonly connectMs: number; readonly firstByteMs: number };
  readonly userAgent: string;
  readonly observer: Observer;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
  readonly timers?: Timers;
  readonly lookup?: Lookup;
  /** Hears of the host's health instead of `observer`. */
  readonly healthObserver?: HealthObserver;
}

export interface UpstreamRead extends ReadOptions {
  /** Less than `timeouts.firstByteMs`, where other URLs are to be asked too. */
  readonly timeoutMs?: number | undefined;
}

export interface UpstreamSource extends BlobSource {
  open(
    offset: number,
    options: Parameters<BlobSource['open']>[1] & Pick<UpstreamRead, 'timeoutMs'>,
  ): Promise<OpenedSource>;
}

export class UpstreamRegistry implements Origin {
  readonly key: string;
  readonly #now: () => number;
  readonly #timeoutMs: number;
  readonly #transport: Transport;
  readonly #health: Health;
  readonly #account: Account;
  /** Without the credentials; the same one where there are none. */
  readonly #anonymous: Account;

  constructor(options: UpstreamOptions) {
    const { key, url, ca, insecure, ip, lookup, proxy, maxTransfers, userAgent, tokenHosts } = options;
    const { observer, logger, now, credentials, timers = systemTimers } = options;
    const { repositoryCredentials = [], clientCertificate } = options;
    const hasCredentials = credentials !== undefined || repositoryCredentials.length > 0;
    const { connectMs, firstByteMs: timeoutMs } = options.timeouts;
    const failures = new RecentFailures(now);
    const anonymousFailures = hasCredentials ? new RecentFailures(now) : failures;
    const dial = { url, ca, clientCertificate, insecure, ip, connectMs, lookup };
    const transport = new Transport({ key, dial, proxy, userAgent, observer, logger });
    const pingUrl = urlOf(url, buildEndpoint({ kind: 'ping' }));
    const health = new Health({
      key,
      host: url.host,
      observer: options.healthObserver ?? observer,
      logger,
      timers,
      now,
      probe: () => probe(transport, pingUrl, timers, timeoutMs),
      onBack: () => {
        failures.forgetUnreachable();
        anonymousFailures.forgetUnreachable();
      },
    });
    const realms = new RealmClient({ key, transport, health, failures, timers, timeoutMs, now });
    const tokens = new TokenSource({ key, realms, now });
    const shared = {
      ...{ key, url, tokenHosts, tokens, transport, timeoutMs },
      slots: new TransferSlots(maxTransfers),
      ...{ observer, logger, timers, now },
    };
    const logins = new UpstreamLogins({ key, credentials, repositoryCredentials, observer, logger, now });
    this.key = key;
    this.#now = now;
    this.#timeoutMs = timeoutMs;
    this.#transport = transport;
    this.#health = health;
    const loginOf = (repository: Repository) => logins.of(repository);
    this.#account = openAccount({ ...shared, loginOf, health, failures });
    this.#anonymous = hasCredentials
      ? openAccount({
          ...shared,
          loginOf: () => undefined,
          health: new AnonymousHealth(key, health, now),
          failures: anonymousFailures,
        })
      : this.#account;
  }

  /**
   * HEAD; where that says nothing, GET within the same time: its word counts. Both are sent with the same credentials, because the
   * 404 of a GET without refused credentials says nothing about the content.
   */
  resolve(repository: Repository, reference: Reference, options: UpstreamRead): Promise<ResolveAnswer> {
    const startedAt = this.#now();
    const wholeMs = options.timeoutMs ?? this.#timeoutMs;
    return this.#ask(options, async account => {
      const subject = `HEAD ${repository} ${reference}`;
      const asked = { ...options, decidedBy: `GET ${repository} ${reference}` };
      const head = async ({ manifests }: Account, deadline: Deadline) => ({
        descriptor: await manifests.resolve(repository, reference, deadline),
      });
      const { descriptor, ...answer } = await this.#runWith(account, 'manifest', subject, asked, head);
      if (descriptor !== undefined) return { ...answer, descriptor };
      if (options.headOnly === true) {
        const message = `HEAD of ${repository} ${reference} told nothing, and a GET would use up the pull limit`;
        throw new UpstreamError({ upstream: this.key, kind: 'manifest', failure: 'paused', message });
      }
      const timeoutMs = Math.min(wholeMs, Math.max(1, startedAt + wholeMs - this.#now()));
      return this.#fetchManifest(account, repository, reference, { ...options, timeoutMs });
    });
  }

  manifest(repository: Repository, reference: Reference, options: UpstreamRead): Promise<ManifestAnswer> {
    return this.#ask(options, account => this.#fetchManifest(account, repository, reference, options));
  }

  #fetchManifest(
    account: Account,
    repository: Repository,
    reference: Reference,
    options: UpstreamRead,
  ): Promise<ManifestAnswer> {
    const subject = `GET ${repository} ${reference}`;
    return this.#runWith(account, 'manifest', subject, options, ({ manifests }, deadline) =>
      manifests.fetch(repository, reference, deadline),
    );
  }

  async stat(
    repository: Repository,
    digest: Digest,
    options: StatOptions & UpstreamRead,
  ): Promise<StatAnswer> {
    const size = await this.#ask(options, ({ blobs }) => blobs.stat(repository, digest, options));
    return { outcome: 'passthrough', checkedAt: this.#now(), size };
  }

  /** The bytes come unverified: `cached/` verifies. */
  async blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: UpstreamRead,
  ): Promise<BlobAnswer> {
    const open = (signal: AbortSignal) =>
      this.#ask(options, ({ blobs }) => blobs.open(repository, digest, range, { ...options, signal }));
    return { checkedAt: this.#now(), ...(await answerBlob(range, options.signal, open)) };
  }

  foreign(repository: Repository, question: ForeignQuestion, options: UpstreamRead): Promise<ForeignAnswer> {
    return this.#ask(options, account => passForeign(account, repository, question, options));
  }

  blobSource(repository: Repository, digest: Digest): UpstreamSource {
    let hasGiven = false;
    return {
      upstream: this.key,
      repository,
      roundTripMs: () => this.#transport.roundTrip.shortestMs,
      open: async (offset, { end, anonymous, ...asked }) => {
        const range =
          end !== undefined ? { first: offset, last: end - 1 } : offset > 0 ? { first: offset } : undefined;
        // a transfer that had bytes has a backoff of its own: failures of other requests don't hold it up
        const ask = ({ blobs }: Account) =>
          blobs.open(repository, digest, range, { ...asked, ignoreBreaker: hasGiven });
        const opened = await this.#ask({ signal: asked.signal, anonymous }, ask);
        hasGiven = true;
        return opened;
      },
    };
  }

  tags(repository: Repository, options: PageOptions & UpstreamRead): Promise<TagsPage> {
    const page = options.query ?? options.last ?? '';
    return this.#run('tags', `${repository} ${page}`, options, ({ requester }, deadline) =>
      fetchTags(requester, repository, options, deadline),
    );
  }

  referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: UpstreamRead & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    const query = { repository, digest, artifactType, query: options.query };
    const subject = `${repository} ${digest} ${options.query ?? ''}`;
    return this.#run('referrers', subject, options, ({ requester, manifests }, deadline) =>
      fetchReferrers(requester, manifests, query, deadline),
    );
  }

  #run<Result extends object>(
    kind: Kind,
    subject: string,
    options: UpstreamRead,
    work: (account: Account, deadline: Deadline) => Promise<Result>,
  ): Promise<Result & { readonly outcome: 'passthrough'; readonly checkedAt: number }> {
    return this.#ask(options, account => this.#runWith(account, kind, subject, options, work));
  }

  async #runWith<Result extends object>(
    account: Account,
    kind: Kind,
    subject: string,
    { signal, timeoutMs, requestId, decidedBy }: UpstreamRead & Pick<Operation, 'decidedBy'>,
    work: (account: Account, deadline: Deadline) => Promise<Result>,
  ): Promise<Result & { readonly outcome: 'passthrough'; readonly checkedAt: number }> {
    const operation = { kind, subject, signal, timeoutMs, requestId, decidedBy };
    const result = await account.operations.run(operation, deadline => work(account, deadline));
    return { outcome: 'passthrough', checkedAt: this.#now(), ...result };
  }

  /** `anonymous` false: with the credentials alone; left out: without them too, when they are refused. */
  #ask<Result>(
    { signal, anonymous }: { readonly signal: AbortSignal; readonly anonymous?: boolean | undefined },
    ask: (account: Account) => Promise<Result>,
  ): Promise<Result> {
    if (anonymous === undefined) return askOrAnonymously(this.#account, this.#anonymous, signal, ask);
    return ask(anonymous ? this.#anonymous : this.#account);
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
