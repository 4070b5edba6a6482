/** An upstream as it is configured, with its credentials. Password files are read again when they change. */
import type { CredentialsConfig, UpstreamConfig } from '../config/config.ts';
import { parsePassword } from '../config/referenced-file.ts';
import { WatchedFile } from '../config/watched-file.ts';
import { allowRepositories } from '../oci/name.ts';
import type { Origin } from '../registry/origin.ts';
import type { Observer } from '../telemetry/observer.ts';
import { CredentialHelper } from '../upstream/auth/credential-command.ts';
import {
  basicCredentials,
  type CredentialProvider,
  type Credentials,
  type RepositoryCredentials,
  StaticCredentials,
} from '../upstream/auth/credential-provider.ts';
import type { HealthObserver } from '../upstream/health/health.ts';
import { withoutPrefix } from '../upstream/prefixed-origin.ts';
import { openUpstream } from '../upstream/upstream-urls.ts';
import type { AppContext } from './app-context.ts';

type Context = Pick<AppContext, 'logger' | 'now'>;

interface OpenedCredentials {
  readonly credentials?: CredentialProvider;
  readonly repositoryCredentials: readonly RepositoryCredentials[];
}

export interface OpenOptions extends Context {
  readonly observer: Observer;
  /** See `UpstreamOptions`. */
  readonly healthObserver?: HealthObserver | undefined;
  /** Without its credentials. */
  readonly anonymous?: boolean;
}

/** Connects to nothing yet. */
export function openConfigured(upstream: UpstreamConfig, options: OpenOptions): Origin {
  const { ca, proxy, prefix, clientCertificate } = upstream;
  const { observer, healthObserver, logger, now } = options;
  return openUpstream({
    key: upstream.key,
    url: upstream.url,
    fallbacks: upstream.fallbacks,
    ...(options.anonymous !== true && openCredentials(upstream, { logger, now })),
    ...(ca !== undefined && { ca }),
    ...(clientCertificate !== undefined && { clientCertificate }),
    ...(prefix !== undefined && { prefix }),
    insecure: upstream.insecure,
    ip: upstream.ip,
    ...(proxy !== undefined && { proxy }),
    tokenHosts: upstream.tokenHosts,
    maxTransfers: upstream.maxTransfers,
    timeouts: upstream.timeouts,
    userAgent: 'cistern',
    observer,
    ...(healthObserver !== undefined && { healthObserver }),
    logger,
    now,
  });
}

/** Whether requests to it may carry credentials, so that it may give more than is public. */
export function hasCredentials(upstream: UpstreamConfig): boolean {
  const { username, credentialHelper, credentials } = upstream;
  return username !== undefined || credentialHelper !== undefined || credentials.length > 0;
}

function openCredentials(upstream: UpstreamConfig, context: Context): OpenedCredentials {
  const { key, url, username, password, passwordFile, credentialHelper, prefix } = upstream;
  const repositoryCredentials = upstream.credentials.map(entry => {
    const isMeant = allowRepositories(entry.repositories, []);
    return {
      matches: (repository: string) => isMeant(withoutPrefix(repository, prefix) ?? repository),
      provider: openPassword(key, entry, context),
    };
  });
  if (credentialHelper !== undefined)
    return {
      credentials: new CredentialHelper({ key, url, ...credentialHelper, ...context }),
      repositoryCredentials,
    };
  if (username === undefined || password === undefined) return { repositoryCredentials };
  const login = { username, password, ...(passwordFile !== undefined && { passwordFile }) };
  return { credentials: openPassword(key, login, context), repositoryCredentials };
}

function openPassword(
  key: string,
  { username, password, passwordFile }: Pick<CredentialsConfig, 'username' | 'password' | 'passwordFile'>,
  context: Context,
): CredentialProvider {
  return passwordFile === undefined
    ? new StaticCredentials(username, password)
    : new PasswordFile(key, username, password, passwordFile, context);
}

/** While the file can't be read, its last good content counts: at first what it held at the start. */
class PasswordFile implements CredentialProvider {
  readonly #file: WatchedFile<Credentials>;

  constructor(key: string, username: string, password: string, path: string, { logger, now }: Context) {
    this.#file = new WatchedFile({
      path,
      initial: basicCredentials(username, password),
      parse: text => basicCredentials(username, parsePassword(text)),
      onTrouble: error => logger.warn('the password file cannot be read', { upstream: key, path, error }),
      now,
    });
  }

  get(refused?: Credentials): Promise<Credentials> {
    return this.#file.current(refused === undefined ? undefined : 0);
  }
}
