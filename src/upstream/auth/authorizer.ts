/**
 * What goes into `Authorization` for one registry: a bearer token, the credentials, or nothing. The handshake:
 *
 * 1. The first request of an upstream goes without. It answers 401 with `WWW-Authenticate: Bearer realm, service, scope`
 *    (or `Basic`).
 * 2. The realm is checked (`realm.ts`), and asked with service, scopes and the credentials for a token.
 * 3. The request is sent again with the token. A fresh token that is refused is the last word: denied.
 * 4. A challenge that gave a token is remembered: from then on each repository gets its token before its first request.
 *    When it gives none any more it is dropped, and the registry itself is asked again.
 * 5. A kept token that is refused (401, 403) is replaced once, by steps 2 and 3.
 * 6. After `Basic` the credentials themselves are sent, from then on with the first request, until they are refused.
 */
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { waitFor } from '../../lib/wait.ts';
import { parseChallenges, pullScope, pullScopesOf } from '../../oci/challenge.ts';
import type { Repository } from '../../oci/name.ts';
import { UpstreamError, type UpstreamFailure } from '../../registry/upstream-error.ts';
import type { Headers } from '../transport/transport.ts';
import type { Credentials } from './credential-provider.ts';
import { checkRealm, type RealmPolicy } from './realm.ts';
import type { TokenSource } from './token-source.ts';
import type { Authorization, UpstreamLogin } from './upstream-login.ts';

export interface AuthorizerOptions {
  readonly policy: RealmPolicy;
  /** Undefined: requests for that repository go without credentials. */
  loginOf(repository: Repository): UpstreamLogin | undefined;
  readonly tokens: TokenSource;
  now(): number;
}

interface BearerChallenge {
  readonly scheme: 'bearer';
  readonly realm: URL;
  readonly service: string | undefined;
}

type Challenge = BearerChallenge | { readonly scheme: 'basic' };

const maxScopes = 4096;
/** A realm that fails so gives no tokens. A pause (429) is no such failure, nor are credentials that it refuses. */
const withoutToken: ReadonlySet<UpstreamFailure> = new Set([
  'denied',
  'status',
  'unreachable',
  'timeout',
  'blocked',
]);

export class Authorizer {
  readonly #options: AuthorizerOptions;
  #challenge: Challenge | undefined;
  /** Of repositories whose upstream asks for other scopes than the usual one. */
  readonly #scopes: ExpiringMap<Repository, readonly string[]>;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
    const { now } = options;
    this.#scopes = new ExpiringMap({ maxEntries: maxScopes, ttlMs: Number.POSITIVE_INFINITY, now });
  }

  /** Before the first request. Undefined: go without. Errors: as `TokenSource.token` and `UpstreamLogin.current`. */
  async prepare(repository: Repository, signal: AbortSignal): Promise<Authorization | undefined> {
    const challenge = this.#challenge;
    if (challenge === undefined) return undefined;
    if (challenge.scheme === 'basic') return (await this.#withCredentials(repository, signal))?.authorization;
    return await this.#withToken(challenge, repository, this.#scopesOf(repository), undefined, signal);
  }

  /**
   * After 401 or 403. Undefined: there is nothing better to try, it is denied.
   * Errors: `DialRefusal` for a realm that must not be dialled; `UpstreamError` credentials when Basic is refused; as
   * `prepare`.
   */
  async renew(
    answer: { readonly status: number; readonly headers: Headers },
    used: Authorization | undefined,
    repository: Repository,
    signal: AbortSignal,
  ): Promise<Authorization | undefined> {
    const scopesBefore = this.#scopesOf(repository);
    if (answer.status === 403) {
      if (used?.token === undefined || used.isFresh || this.#challenge?.scheme !== 'bearer') return undefined;
      return await this.#withToken(this.#challenge, repository, scopesBefore, used.token, signal);
    }
    const challenges = parseChallenges(answer.headers['www-authenticate']);
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'),
    );
    const realm = bearer?.parameters.get('realm');
    if (bearer === undefined || realm === undefined) {
      const isBasic = challenges.some(({ scheme }) => scheme === 'basic');
      return isBasic ? await this.#renewBasic(answer.status, used, repository, signal) : undefined;
    }
    const service = bearer.parameters.get('service');
    const challenge = { scheme: 'bearer', realm: checkRealm(realm, this.#options.policy), service } as const;
    const scopes = pullScopesOf(bearer.parameters.get('scope')) ?? [pullScope(repository)];
    const isSame = isSameChallenge(this.#challenge, challenge) && areSame(scopesBefore, scopes);
    if (used?.token !== undefined && used.isFresh && isSame) return undefined;
    const renewed = await this.#withToken(challenge, repository, scopes, used?.token, signal);
    this.#challenge = challenge;
    if (areSame(scopes, [pullScope(repository)])) this.#scopes.delete(repository);
    else this.#scopes.set(repository, scopes);
    return renewed;
  }

  async #renewBasic(
    status: number,
    used: Authorization | undefined,
    repository: Repository,
    signal: AbortSignal,
  ): Promise<Authorization | undefined> {
    const found = await this.#withCredentials(repository, signal);
    if (found === undefined) return undefined;
    const { login, credentials, authorization } = found;
    const isRefused = authorization.header === used?.header;
    const other = isRefused ? await waitFor(login.another(credentials), signal) : credentials;
    if (other !== undefined) {
      this.#challenge = { scheme: 'basic' };
      return { header: other.authorization, login, isFresh: true };
    }
    this.#challenge = undefined;
    throw login.refused(repository, credentials, {
      host: this.#options.policy.url.host,
      status,
      complaint: '',
    });
  }

  async #withCredentials(
    repository: Repository,
    signal: AbortSignal,
  ): Promise<
    | {
        readonly login: UpstreamLogin;
        readonly credentials: Credentials;
        readonly authorization: Authorization;
      }
    | undefined
  > {
    const login = this.#options.loginOf(repository);
    const credentials = login && (await waitFor(login.current(repository), signal));
    if (login === undefined || credentials === undefined) return undefined;
    return { login, credentials, authorization: { header: credentials.authorization, login, isFresh: true } };
  }

  async #withToken(
    challenge: BearerChallenge,
    repository: Repository,
    scopes: readonly string[],
    rejected: string | undefined,
    signal: AbortSignal,
  ): Promise<Authorization> {
    const { realm, service } = challenge;
    const login = this.#options.loginOf(repository);
    const asked = { realm, service, scopes, repository, login, rejected };
    try {
      const token = await this.#options.tokens.token(asked, signal);
      return { header: `Bearer ${token.value}`, token: token.value, isFresh: token.isFresh };
    } catch (error) {
      const isDead = error instanceof UpstreamError && withoutToken.has(error.failure);
      if (isDead && isSameChallenge(this.#challenge, challenge)) this.#challenge = undefined;
      throw error;
    }
  }

  #scopesOf(repository: Repository): readonly string[] {
    return this.#scopes.get(repository) ?? [pullScope(repository)];
  }
}

function isSameChallenge(a: Challenge | undefined, b: BearerChallenge): boolean {
  return a?.scheme === 'bearer' && a.realm.href === b.realm.href && a.service === b.service;
}

function areSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((scope, index) => scope === b[index]);
}

/**
 * With the account, and without it when its credentials are refused: then what is public is still to be had. What isn't
 * is refused because of the credentials: without them the upstream's 404 says nothing about the content.
 */
export async function askOrAnonymously<Account, Result>(
  account: Account,
  anonymous: Account,
  signal: AbortSignal,
  ask: (account: Account) => Promise<Result>,
): Promise<Result> {
  try {
    return await ask(account);
  } catch (error) {
    const areRefused = error instanceof UpstreamError && error.failure === 'credentials';
    if (!areRefused || account === anonymous) throw error;
    try {
      return await ask(anonymous);
    } catch (second) {
      signal.throwIfAborted();
      const isWord = second instanceof UpstreamError && ['gone', 'denied'].includes(second.failure);
      throw isWord ? error : second;
    }
  }
}
