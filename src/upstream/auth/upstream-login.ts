/**
 * One set of credentials and whether the upstream takes them. Refused ones are looked for anew at once; where there are no
 * others, that repository isn't asked with them again for a minute, and one warning a minute says so. Others still are: a
 * refusal may be about one repository alone.
 */
import { ExpiringMap } from '../../lib/expiring-map.ts';
import type { Repository } from '../../oci/name.ts';
import { UpstreamError } from '../../registry/upstream-error.ts';
import type { Logger } from '../../telemetry/logger.ts';
import type { Observer } from '../../telemetry/observer.ts';
import type { CredentialProvider, Credentials, RepositoryCredentials } from './credential-provider.ts';

const refusedMs = 60_000;
const maxRepositories = 4096;

export interface UpstreamLoginOptions {
  /** Tells the logins of one upstream apart. */
  readonly id: number;
  readonly key: string;
  readonly provider: CredentialProvider;
  readonly logger: Logger;
  now(): number;
  onChange(): void;
}

export class UpstreamLogin {
  readonly id: number;
  readonly #options: UpstreamLoginOptions;
  /** The refused `Authorization` by repository: others, from a rotated password, are tried at once. */
  readonly #refused: ExpiringMap<Repository, string>;
  #warnedAt = Number.NEGATIVE_INFINITY;
  #isAccepted: boolean | undefined;

  constructor(options: UpstreamLoginOptions) {
    this.id = options.id;
    this.#options = options;
    this.#refused = new ExpiringMap({ maxEntries: maxRepositories, ttlMs: refusedMs, now: options.now });
  }

  /** Undefined: not used yet. */
  get isAccepted(): boolean | undefined {
    return this.#isAccepted;
  }

  /** Undefined: there are none, go without. Errors: `UpstreamError` credentials, when they were refused a moment ago. */
  async current(repository: Repository): Promise<Credentials | undefined> {
    const credentials = await this.#options.provider.get();
    if (credentials === undefined || this.#refused.get(repository) !== credentials.authorization)
      return credentials;
    throw this.#fail('the upstream refused the configured credentials a moment ago');
  }

  /** After a refusal. Undefined: the provider has no others. */
  async another(refused: Credentials): Promise<Credentials | undefined> {
    const found = await this.#options.provider.get(refused);
    return found?.authorization === refused.authorization ? undefined : found;
  }

  accepted(): void {
    this.#learn(true);
  }

  /** Gives the error of the request. `complaint`: what the host said, for the message. */
  refused(
    repository: Repository,
    { authorization }: Credentials,
    {
      host,
      status,
      complaint,
    }: { readonly host: string; readonly status: number; readonly complaint: string },
  ): UpstreamError {
    const { key: upstream, logger, now } = this.#options;
    this.#refused.set(repository, authorization);
    this.#learn(false);
    if (Math.abs(now() - this.#warnedAt) >= refusedMs) {
      this.#warnedAt = now();
      logger.warn('the upstream refuses the configured credentials, public repositories go on without', {
        upstream,
        host,
        status,
      });
    }
    return this.#fail(`${host} refused the configured credentials (${status}${complaint})`, status);
  }

  #learn(isAccepted: boolean): void {
    if (this.#isAccepted === isAccepted) return;
    this.#isAccepted = isAccepted;
    this.#options.onChange();
  }

  #fail(message: string, upstreamStatus?: number): UpstreamError {
    return new UpstreamError({
      upstream: this.#options.key,
      kind: 'token',
      failure: 'credentials',
      message,
      ...(upstreamStatus === undefined ? {} : { upstreamStatus }),
    });
  }
}

export interface UpstreamLoginsOptions {
  readonly key: string;
  readonly credentials: CredentialProvider | undefined;
  readonly repositoryCredentials: readonly RepositoryCredentials[];
  readonly observer: Pick<Observer, 'upstreamCredentials'>;
  readonly logger: Logger;
  now(): number;
}

/** All logins of one upstream. They are well as long as none of them is refused. */
export class UpstreamLogins {
  readonly #general: UpstreamLogin | undefined;
  readonly #byRepository: readonly { matches(repository: string): boolean; readonly login: UpstreamLogin }[];

  constructor({ key, credentials, repositoryCredentials, observer, logger, now }: UpstreamLoginsOptions) {
    const onChange = (): void => observer.upstreamCredentials(key, this.#areAccepted());
    const open = (provider: CredentialProvider, id: number): UpstreamLogin =>
      new UpstreamLogin({ id, key, provider, logger, now, onChange });
    this.#general = credentials && open(credentials, 0);
    this.#byRepository = repositoryCredentials.map(({ matches, provider }, index) => ({
      matches,
      login: open(provider, index + 1),
    }));
  }

  /** Undefined: requests for it go without credentials. */
  of(repository: Repository): UpstreamLogin | undefined {
    return this.#byRepository.find(({ matches }) => matches(repository))?.login ?? this.#general;
  }

  #areAccepted(): boolean {
    const all = [this.#general, ...this.#byRepository.map(({ login }) => login)];
    return all.every(login => login?.isAccepted !== false);
  }
}

/** What one request is sent with: a token or credentials, as an `Authorization` header. */
export interface Authorization {
  /** The header's value. */
  readonly header: string;
  /** The token in it, when it is one. */
  readonly token?: string;
  /** The credentials in it, when they are sent themselves. */
  readonly login?: UpstreamLogin;
  /** Nothing better can be had: a refusal of it is the last word. */
  readonly isFresh: boolean;
}
