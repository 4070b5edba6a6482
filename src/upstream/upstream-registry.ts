/**
 * One remote registry as a `RegistryReader`: what it says, verified where a digest is at hand, and every failure as an
 * `UpstreamError`. It keeps nothing but tokens and what it knows of the upstream's health. It owns its connections.
 */

import { systemTimers } from '../lib/timers.ts';
import type { Digest } from '../oci/digest.ts';
import { buildEndpoint } from '../oci/endpoint.ts';
import type { Reference, Repository } from '../oci/name.ts';
import type { ByteRange } from '../oci/range.ts';
import type { Origin, OriginHealth } from '../registry/origin.ts';
import type {
  BlobAnswer,
  ManifestAnswer,
  PageOptions,
  ReadOptions,
  ReferrersAnswer,
  ResolveAnswer,
  StatAnswer,
  TagsPage,
} from '../registry/registry.ts';
import { Account } from './auth/account.ts';
import { createRealmClient } from './auth/realm-client.ts';
import { TokenSource } from './auth/token-source.ts';
import { answerBlob } from './content/blob-answer.ts';
import { fetchReferrers } from './content/referrers.ts';
import { fetchTags } from './content/tag-list.ts';
import { AnonymousHealth } from './health/anonymous-health.ts';
import { Health } from './health/health.ts';
import { probe } from './health/probe.ts';
import type { Operation } from './request/operations.ts';
import { RecentFailures } from './request/recent-failures.ts';
import { urlOf } from './request/redirects.ts';
import { Transport } from './transport/transport.ts';
import type { Share, UpstreamDependencies, UpstreamOptions, UpstreamSource } from './upstream-options.ts';

/** dockerd asks HEAD and then GET; podman tries again after a few seconds. */
const failureTtlMs = 10_000;

export class UpstreamRegistry implements Origin {
  readonly key: string;
  readonly #options: UpstreamOptions & UpstreamDependencies;
  readonly #transport: Transport;
  readonly #health: Health;
  readonly #desk: Account;
  /** Without the credentials; the same one where there are none. */
  readonly #anonymous: Account;

  constructor(options: UpstreamOptions & UpstreamDependencies) {
    this.key = options.key;
    this.#options = options;
    const { key, url, observer, logger, now, credentials, timers = systemTimers } = options;
    const budgetMs = options.timeouts.firstByteMs;
    const failures = new RecentFailures({ ttlMs: failureTtlMs, now });
    const anonymousFailures = new RecentFailures({ ttlMs: failureTtlMs, now });
    const transport = new Transport({ ...options, ca: options.ca, connectMs: options.timeouts.connectMs });
    const health = new Health({
      key,
      host: url.host,
      observer: options.healthObserver ?? observer,
      logger,
      timers,
      now,
      probe: () => probe({ transport, url: urlOf(url, buildEndpoint({ kind: 'ping' })), timers, budgetMs }),
      onBack: () => {
        failures.forgetUnreachable();
        anonymousFailures.forgetUnreachable();
      },
    });
    const ask = createRealmClient({ key, transport, health, failures, timers, budgetMs, now });
    const tokens = new TokenSource({ upstream: key, now, ask });
    this.#transport = transport;
    this.#health = health;
    const desk = { ...options, transport, tokens, timers, budgetMs };
    this.#desk = new Account({ ...desk, credentials, health, failures });
    this.#anonymous =
      credentials === undefined
        ? this.#desk
        : new Account({
            ...desk,
            credentials: undefined,
            health: new AnonymousHealth({ key, health, now }),
            failures: anonymousFailures,
          });
  }

  async resolve(
    repository: Repository,
    reference: Reference,
    options: ReadOptions & Share,
  ): Promise<ResolveAnswer> {
    const operation = operationOf('manifest', `${repository} ${reference}`, options);
    const { operations, manifests } = this.#deskFor(options);
    const descriptor = await operations.run(operation, budget =>
      manifests.resolve(repository, reference, budget),
    );
    return { outcome: 'passthrough', checkedAt: this.#options.now(), descriptor };
  }

  async manifest(
    repository: Repository,
    reference: Reference,
    options: ReadOptions & Share,
  ): Promise<ManifestAnswer> {
    const operation = operationOf('manifest', `${repository} ${reference}`, options);
    const { operations, manifests } = this.#deskFor(options);
    const fetched = await operations.run(operation, budget => manifests.fetch(repository, reference, budget));
    return { outcome: 'passthrough', checkedAt: this.#options.now(), ...fetched };
  }

  async stat(repository: Repository, digest: Digest, options: ReadOptions & Share): Promise<StatAnswer> {
    const size = await this.#deskFor(options).blobs.stat(repository, digest, options);
    return { outcome: 'passthrough', checkedAt: this.#options.now(), size };
  }

  /** The bytes come unverified: `cached/` verifies. */
  async blob(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    options: ReadOptions & Share,
  ): Promise<BlobAnswer> {
    const { budgetMs } = options;
    const { blobs } = this.#deskFor(options);
    const open = (signal: AbortSignal) => blobs.open(repository, digest, range, { signal, budgetMs });
    return { checkedAt: this.#options.now(), ...(await answerBlob(range, options.signal, open)) };
  }

  blobSource(repository: Repository, digest: Digest): UpstreamSource {
    let hasGiven = false;
    return {
      upstream: this.key,
      repository,
      roundTripMs: () => this.#transport.roundTrip.shortestMs,
      open: async (offset, { signal, end, background = false, budgetMs, anonymous = false, target }) => {
        const range =
          end !== undefined ? { first: offset, last: end - 1 } : offset > 0 ? { first: offset } : undefined;
        // a transfer that had bytes has a backoff of its own: it isn't held up by what others were told
        const opened = await this.#deskFor({ anonymous }).blobs.open(repository, digest, range, {
          signal,
          background,
          budgetMs,
          ignoreBreaker: hasGiven,
          target,
        });
        hasGiven = true;
        return opened;
      },
    };
  }

  async tags(repository: Repository, options: PageOptions & Share): Promise<TagsPage> {
    const operation = operationOf('tags', repository, options);
    const { operations, requester } = this.#deskFor(options);
    const context = { key: this.key, requester, transport: this.#transport };
    const page = await operations.run(operation, budget => fetchTags(context, repository, options, budget));
    return { outcome: 'passthrough', checkedAt: this.#options.now(), ...page };
  }

  async referrers(
    repository: Repository,
    digest: Digest,
    artifactType: string | undefined,
    options: ReadOptions & Share & { readonly query?: string },
  ): Promise<ReferrersAnswer> {
    const operation = operationOf('referrers', `${repository} ${digest}`, options);
    const { key } = this;
    const { operations, requester, manifests } = this.#deskFor(options);
    const context = {
      key,
      requester,
      manifests,
      transport: this.#transport,
    };
    const question = { repository, digest, artifactType, query: options.query };
    const page = await operations.run(operation, budget => fetchReferrers(context, question, budget));
    return { outcome: 'passthrough', checkedAt: this.#options.now(), ...page };
  }

  #deskFor({ anonymous = false }: { readonly anonymous?: boolean }): Account {
    return anonymous ? this.#anonymous : this.#desk;
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

function operationOf(
  kind: Operation['kind'],
  subject: string,
  { signal, budgetMs }: ReadOptions & Share,
): Operation {
  return { kind, subject, signal, budgetMs };
}
