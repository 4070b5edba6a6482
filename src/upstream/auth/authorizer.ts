/**
 * What goes into `Authorization` for the upstream's own host: a bearer token, the credentials, or nothing. The handshake:
 *
 * 1. The first request of an upstream goes without. It answers 401 with `WWW-Authenticate: Bearer realm, service, scope`
 *    (or `Basic`).
 * 2. The realm is checked (`realm.ts`), and asked with service, scope and the credentials for a token.
 * 3. The request is sent again with the token. A fresh token that is refused is the last word: denied.
 * 4. The challenge is remembered: from then on each repository gets its token before its first request.
 * 5. A kept token that is refused (401, 403) is replaced once, by steps 2 and 3.
 * 6. After `Basic` the credentials themselves are sent, from then on with the first request.
 */
import { ExpiringMap } from '../../lib/expiring-map.ts';
import { parseChallenges, pullScope } from '../../oci/challenge.ts';
import type { Repository } from '../../oci/name.ts';
import type { Headers } from '../transport/transport.ts';
import type { CredentialProvider } from './credential-provider.ts';
import { checkRealm, type RealmPolicy } from './realm.ts';
import type { TokenSource } from './token-source.ts';

export interface AuthorizerOptions {
  readonly policy: RealmPolicy;
  /** Undefined: all requests go without. */
  readonly credentials: CredentialProvider | undefined;
  readonly tokens: TokenSource;
  now(): number;
}

export interface Authorization {
  /** The header's value. */
  readonly header: string;
  /** The token in it, when it is one. */
  readonly token?: string;
  /** Nothing better can be had: a refusal of it is the last word. */
  readonly isFresh: boolean;
}

interface BearerChallenge {
  readonly scheme: 'bearer';
  readonly realm: URL;
  readonly service: string | undefined;
}

type Challenge = BearerChallenge | { readonly scheme: 'basic' };

const maxScopes = 4096;

export class Authorizer {
  readonly #options: AuthorizerOptions;
  #challenge: Challenge | undefined;
  /** Of repositories whose upstream asks for another scope than the usual one. */
  readonly #scopes: ExpiringMap<Repository, string>;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
    const { now } = options;
    this.#scopes = new ExpiringMap({ maxEntries: maxScopes, ttlMs: Number.POSITIVE_INFINITY, now });
  }

  /** Before the first request. Undefined: go without. Errors: as `TokenSource.token` and `CredentialProvider.get`. */
  async prepare(repository: Repository, signal: AbortSignal): Promise<Authorization | undefined> {
    if (this.#challenge === undefined) return undefined;
    if (this.#challenge.scheme === 'basic') return await this.#withCredentials();
    return await this.#withToken(this.#challenge, repository, undefined, signal);
  }

  /**
   * After 401 or 403. Undefined: there is nothing better to try, it is denied.
   * Errors: `DialRefusal` for a realm that must not be dialled; as `prepare`.
   */
  async renew(
    answer: { readonly status: number; readonly headers: Headers },
    used: Authorization | undefined,
    repository: Repository,
    signal: AbortSignal,
  ): Promise<Authorization | undefined> {
    if (answer.status === 403) {
      if (used?.token === undefined || used.isFresh || this.#challenge?.scheme !== 'bearer') return undefined;
      return await this.#withToken(this.#challenge, repository, used.token, signal);
    }
    const challenges = parseChallenges(answer.headers['www-authenticate']);
    const bearer = challenges.find(
      ({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm'),
    );
    const realm = bearer?.parameters.get('realm');
    if (bearer !== undefined && realm !== undefined) {
      const service = bearer.parameters.get('service');
      const challenge = {
        scheme: 'bearer',
        realm: checkRealm(realm, this.#options.policy),
        service,
      } as const;
      const scopeBefore = this.#scopeOf(repository);
      const isKnown = isSameChallenge(this.#challenge, challenge);
      this.#challenge = challenge;
      this.#rememberScope(repository, bearer.parameters.get('scope'));
      const isSame = isKnown && scopeBefore === this.#scopeOf(repository);
      if (used?.token !== undefined && used.isFresh && isSame) return undefined;
      return await this.#withToken(challenge, repository, used?.token, signal);
    }
    if (!challenges.some(({ scheme }) => scheme === 'basic')) return undefined;
    const credentials = await this.#withCredentials();
    if (credentials?.header === used?.header) return undefined;
    this.#challenge = { scheme: 'basic' };
    return credentials;
  }

  async #withCredentials(): Promise<Authorization | undefined> {
    const credentials = await this.#options.credentials?.get();
    return credentials === undefined ? undefined : { header: credentials.authorization, isFresh: true };
  }

  async #withToken(
    { realm, service }: BearerChallenge,
    repository: Repository,
    rejected: string | undefined,
    signal: AbortSignal,
  ): Promise<Authorization> {
    const { tokens, credentials } = this.#options;
    const scope = this.#scopeOf(repository);
    const token = await tokens.token({ realm, service, scope, credentials, rejected }, signal);
    return { header: `Bearer ${token.value}`, token: token.value, isFresh: token.isFresh };
  }

  #scopeOf(repository: Repository): string {
    return this.#scopes.get(repository) ?? pullScope(repository);
  }

  #rememberScope(repository: Repository, scope: string | undefined): void {
    if (scope && scope !== pullScope(repository)) this.#scopes.set(repository, scope);
    else this.#scopes.delete(repository);
  }
}

function isSameChallenge(a: Challenge | undefined, b: BearerChallenge): boolean {
  return a?.scheme === 'bearer' && a.realm.href === b.realm.href && a.service === b.service;
}
