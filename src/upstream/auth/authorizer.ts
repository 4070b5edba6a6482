/**
 * What goes into `Authorization` for the upstream's own host: a bearer token, Basic, or nothing. The challenge is
 * remembered, so that only the very first request of an upstream is refused; later repositories get their token first.
 */
import { parseChallenges, pullScope } from '../../oci/challenge.ts';
import type { Repository } from '../../oci/name.ts';
import type { Headers } from '../transport/transport.ts';
import { checkRealm, type RealmPolicy } from './realm-policy.ts';
import type { TokenSource } from './token-source.ts';

export interface AuthorizerOptions extends RealmPolicy {
  readonly credentials: { readonly username: string; readonly password: string } | undefined;
  readonly tokens: TokenSource;
}

export interface Authorization {
  /** The header's value. */
  readonly header: string;
  /** The token in it, when it is one. */
  readonly token?: string;
  /** Nothing better can be had: a refusal of it is the last word. */
  readonly isFresh: boolean;
}

type Remembered =
  | { readonly scheme: 'basic' }
  | { readonly scheme: 'bearer'; readonly realm: URL; readonly service: string | undefined };

const maxScopes = 4096;

export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #basic: string | undefined;
  #challenge: Remembered | undefined;
  /** Of repositories whose upstream asks for another scope than the usual one. */
  readonly #scopes = new Map<Repository, string>();

  constructor(options: AuthorizerOptions) {
    this.#options = options;
    const { credentials } = options;
    this.#basic =
      credentials === undefined
        ? undefined
        : `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
  }

  /** Before the first request. Undefined: go without. Errors: as `TokenSource.token`. */
  async prepare(repository: Repository, signal: AbortSignal): Promise<Authorization | undefined> {
    if (this.#challenge === undefined) return undefined;
    if (this.#challenge.scheme === 'basic') return this.#withBasic();
    return await this.#withToken(this.#challenge, repository, undefined, signal);
  }

  /**
   * After 401 or 403. Undefined: there is nothing better to try, it is denied.
   * Errors: `DialRefusal` for a realm that must not be dialled; as `TokenSource.token`.
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
      const challenge: Remembered = { scheme: 'bearer', realm: checkRealm(realm, this.#options), service };
      const scopeBefore = this.#scopeOf(repository);
      const isKnown = isSameChallenge(this.#challenge, challenge);
      this.#challenge = challenge;
      this.#rememberScope(repository, bearer.parameters.get('scope'));
      const isSame = isKnown && scopeBefore === this.#scopeOf(repository);
      if (used?.token !== undefined && used.isFresh && isSame) return undefined;
      return await this.#withToken(challenge, repository, used?.token, signal);
    }
    if (!challenges.some(({ scheme }) => scheme === 'basic') || used?.header === this.#basic)
      return undefined;
    this.#challenge = { scheme: 'basic' };
    return this.#withBasic();
  }

  #withBasic(): Authorization | undefined {
    return this.#basic === undefined ? undefined : { header: this.#basic, isFresh: true };
  }

  async #withToken(
    challenge: Extract<Remembered, { scheme: 'bearer' }>,
    repository: Repository,
    rejected: string | undefined,
    signal: AbortSignal,
  ): Promise<Authorization> {
    const scope = this.#scopeOf(repository);
    const { realm, service } = challenge;
    const token = await this.#options.tokens.token(
      { realm, service, scope, basic: this.#basic, rejected },
      signal,
    );
    return { header: `Bearer ${token.value}`, token: token.value, isFresh: token.isFresh };
  }

  #scopeOf(repository: Repository): string {
    return this.#scopes.get(repository) ?? pullScope(repository);
  }

  #rememberScope(repository: Repository, scope: string | undefined): void {
    this.#scopes.delete(repository);
    if (!scope || scope === pullScope(repository)) return;
    this.#scopes.set(repository, scope);
    const oldest = this.#scopes.keys().next();
    if (this.#scopes.size > maxScopes && !oldest.done) this.#scopes.delete(oldest.value);
  }
}

function isSameChallenge(a: Remembered | undefined, b: Remembered): boolean {
  if (a?.scheme !== 'bearer' || b.scheme !== 'bearer') return false;
  return a.realm.href === b.realm.href && a.service === b.service;
}
