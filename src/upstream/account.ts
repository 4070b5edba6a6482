/**
 * The registry as it is for one set of credentials, or for none: what the one is refused the other may get. Each has tokens,
 * remembered failures and pauses of its own, over the same connections.
 */
import type { Timers } from '../lib/wait.ts';
import type { Repository } from '../oci/name.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Observer } from '../telemetry/observer.ts';
import { RegistryAuthorizers } from './auth/registry-authorizers.ts';
import type { TokenSource } from './auth/token-source.ts';
import type { UpstreamLogin } from './auth/upstream-login.ts';
import { Blobs } from './content/blobs.ts';
import { Manifests } from './content/manifests.ts';
import type { HostHealth } from './health/health.ts';
import { HostPauses } from './health/rate-limit.ts';
import { Operations } from './request/deadline.ts';
import type { RecentFailures } from './request/recent-failures.ts';
import { Requester } from './request/requester.ts';
import type { TransferSlots } from './transport/transfer-slots.ts';
import type { Transport } from './transport/transport.ts';

export interface Account {
  readonly requester: Requester;
  readonly operations: Operations;
  readonly manifests: Manifests;
  readonly blobs: Blobs;
}

export interface AccountOptions {
  readonly key: string;
  readonly url: URL;
  readonly tokenHosts: readonly string[];
  /** See `AuthorizerOptions`. */
  loginOf(repository: Repository): UpstreamLogin | undefined;
  readonly tokens: TokenSource;
  readonly transport: Transport;
  readonly health: HostHealth;
  readonly failures: RecentFailures;
  readonly slots: TransferSlots;
  readonly timeoutMs: number;
  readonly observer: Observer;
  readonly logger: Logger;
  readonly timers: Timers;
  now(): number;
}

export function openAccount(options: AccountOptions): Account {
  const { key, url, tokenHosts, tokens, failures, slots, timeoutMs } = options;
  const { transport, health, observer, logger, timers, now } = options;
  const authorizers = new RegistryAuthorizers({
    policy: { url, tokenHosts },
    loginOf: repository => options.loginOf(repository),
    tokens,
    now,
  });
  const pauses = new HostPauses(now);
  const hosts = { url, transport, health, failures, pauses, authorizers, now };
  const requester = new Requester({ ...hosts, key, logger, timers });
  const operations = new Operations({ key, failures, timers, timeoutMs });
  return {
    requester,
    operations,
    manifests: new Manifests({ key, requester, observer, logger }),
    blobs: new Blobs({ key, requester, operations, slots, observer }),
  };
}
