/**
 * One remote registry as a `RegistryReader`: what it says, verified where a digest is at hand, and every failure as an
 * `UpstreamError`. It keeps nothing but tokens and what it knows of the upstream's health. It owns its connections.
 */
import { systemTimers, type Timers } from '../lib/timers.ts';
import type { Digest } from '../oci/digest.ts';
import { buildEndpoint } from '../oci/endpoint.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Origin, OriginHealth } from '../registry/origin.ts';
import type {
  BlobAnswer,
  BlobSource,
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
import type { Logger } from '../telemetry/logger.ts';
import type { Kind, Observer } from '../telemetry/observer.ts';
import { Authorizer } from './auth/authorizer.ts';
import type { CredentialProvider } from './auth/credential-provider.ts';
import { RealmClient } from './auth/realm.ts';
import { TokenSource } from './auth/token-source.ts';
import { Blobs } from './content/blobs.ts';
import { Manifests } from './content/manifests.ts';
import { fetchReferrers } from './content/referrers.ts';
import { fetchTags } from './content/tag-list.ts';
import { answerBlob } from './content/transfer.ts';
import { probe } from './health/breaker.ts';
import { AnonymousHealth, Health, type HealthObserver, type HostHealth } from './health/health.ts';
import { type Deadline, Operations } from './request/deadline.ts';
import { RecentFailures } from './request/recent-failures.ts';
import { urlOf } from './request/redirects.ts';
import { Requester } from './request/requester.ts';
import type { Lookup } from './transport/dial.ts';
import type { ProxyOptions } from './transport/proxy.ts';
import { Transport } from './transport/transport.ts';

export interface UpstreamOptions {
  /** As configured: `docker.io`. */
  readonly key: string;
  /** http or https; may have a path, under which the API is, and `?ns=HOST`, which goes along with every request. */
  readonly url: URL;
  /** Absent: anonymous. */
  readonly credentials?: CredentialProvider | undefined;
  /** Certificates in PEM, trusted beside the public ones. */
  readonly ca?: string;
  /** Any certificate will do. */
  readonly insecure: boolean;
  /** Which addresses names are resolved to. */
  readonly ip: 'any' | 4 | 6;
  readonly proxy?: ProxyOptions;
  /** Hosts (or `host:port`) beside the upstream's own that may ask for its credentials. */
  readonly tokenHosts: readonly string[];
  /** Blob bodies at once, per host. */
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

/** The registry as it is for one set of credentials, or for none: what the one is refused the other may get. */
interface Account {
  readonly requester: Requester;
  readonly operations: Operations;
  readonly manifests: Manifests;
  readonly blobs: Blobs;
}

export class UpstreamRegistry implements Origin {
  readonly key: string;
  readonly #now: () => number;
  readonly #transport: Transport;
  readonly #health: Health;
  readonly #account: Account;
  /** Without the credentials; the same one where there are none. */
  readonly #anonymous: Account;

  constructor(options: UpstreamOptions) {
    const { key, url, ca, insecure, ip, lookup, proxy, maxTransfers, userAgent } = options;
    const { observer, logger, now, credentials, timers = systemTimers } = options;
    const { connectMs, firstByteMs: timeoutMs } = options.timeouts;
    const failures = new RecentFailures(now);
    const anonymousFailures = credentials === undefined ? failures : new RecentFailures(now);
    const dial = { url, ca, insecure, ip, connectMs, lookup };
    const transport = new Transport({ key, dial, proxy, maxTransfers, userAgent, observer });
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
    const policy = { url, tokenHosts: options.tokenHosts };
    const openAccount = (
      provider: CredentialProvider | undefined,
      hostHealth: HostHealth,
      recent: RecentFailures,
    ): Account => {
      const authorizer = new Authorizer({ policy, credentials: provider, tokens, now });
      const hosts = { url, transport, health: hostHealth, failures: recent, now };
      const requester = new Requester({ ...hosts, key, authorizer, logger, timers });
      const operations = new Operations({ key, failures: recent, timers, timeoutMs });
      return {
        requester,
        operations,
        manifests: new Manifests({ key, requester, observer, logger }),
        blobs: new Blobs({ key, requester, operations, maxTransfers, observer }),
      };
    };
    this.key = key;
    this.#now = now;
    this.#transport = transport;
    this.#health = health;
    this.#account = openAccount(credentials, health, failures);
    this.#anonymous =
      credentials === undefined
        ? this.#account
        : openAccount(undefined, new AnonymousHealth(key, health, now), anonymousFailures);
  }

  resolve(repository: Repository, reference: Reference, options: UpstreamRead): Promise<ResolveAnswer> {
    return this.#run('manifest', `${repository} ${reference}`, options, ({ manifests }, deadline) =>
      manifests.resolve(repository, reference, deadline),
    );
  }

  manifest(repository: Repository, reference: Reference, options: UpstreamRead): Promise<ManifestAnswer> {
    return this.#run('manifest', `${repository} ${reference}`, options, ({ manifests }, deadline) =>
      manifests.fetch(repository, reference, deadline),
    );
  }

  async stat(
    repository: Repository,
    digest: Digest,
    options: StatOptions & UpstreamRead,
  ): Promise<StatAnswer> {
    const size = await this.#accountFor(options).blobs.stat(repository, digest, options);
    return { outcome: 'passthrough', checkedAt: this.#now(), size };
  }

  /** The bytes come unverified: `cached/` verifies. */
  async blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: UpstreamRead,
  ): Promise<BlobAnswer> {
    const { timeoutMs } = options;
    const { blobs } = this.#accountFor(options);
    const open = (signal: AbortSignal) => blobs.open(repository, digest, range, { signal, timeoutMs });
    return { checkedAt: this.#now(), ...(await answerBlob(range, options.signal, open)) };
  }

  blobSource(repository: Repository, digest: Digest): UpstreamSource {
    let hasGiven = false;
    return {
      upstream: this.key,
      repository,
      roundTripMs: () => this.#transport.roundTrip.shortestMs,
      open: async (
        offset,
        { signal, end, background = false, timeoutMs, anonymous = false, target, ...more },
      ) => {
        const range =
          end !== undefined ? { first: offset, last: end - 1 } : offset > 0 ? { first: offset } : undefined;
        // a transfer that had bytes has a backoff of its own: failures of other requests don't hold it up
        const options = {
          signal,
          background,
          timeoutMs,
          ignoreBreaker: hasGiven,
          target,
          expectedSize: more.expectedSize,
        };
        const opened = await this.#accountFor({ anonymous }).blobs.open(repository, digest, range, options);
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

  async #run<Result extends object>(
    kind: Kind,
    subject: string,
    { signal, timeoutMs, anonymous }: UpstreamRead,
    work: (account: Account, deadline: Deadline) => Promise<Result>,
  ): Promise<Result & { readonly outcome: 'passthrough'; readonly checkedAt: number }> {
    const account = this.#accountFor({ anonymous });
    const operation = { kind, subject, signal, timeoutMs };
    const result = await account.operations.run(operation, deadline => work(account, deadline));
    return { outcome: 'passthrough', checkedAt: this.#now(), ...result };
  }

  #accountFor({ anonymous = false }: { readonly anonymous?: boolean | undefined }): Account {
    return anonymous ? this.#anonymous : this.#account;
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
