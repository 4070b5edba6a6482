/**
 * Authentication of the fake upstream: Basic, or tokens as of distribution's "Token Authentication Specification":
 * a challenge with realm, service and scope; a token for what may be had of the asked scopes (a smaller grant is no
 * error); 401 at the registry for a token that doesn't cover the request. Like Docker Hub, a repository that doesn't
 * exist or may not be had is refused by 401.
 */
import { randomBytes } from 'node:crypto';
import type { UpstreamRequest } from './upstream-request.ts';

export interface Account {
  readonly password: string;
  /** Repositories it may pull. Default: all. */
  readonly repositories?: readonly string[];
}

export interface BasicAuthOptions {
  readonly kind: 'basic';
  readonly accounts: Readonly<Record<string, Account>>;
  /** Repositories that need no credentials. Default: none. */
  readonly anonymous?: readonly string[] | 'all';
}

export interface TokenAuthOptions {
  readonly kind: 'token';
  readonly accounts?: Readonly<Record<string, Account>>;
  /** Repositories for which every caller gets a token. Default: all. */
  readonly anonymous?: readonly string[] | 'all';
  /** `other`: the token endpoint is a server of its own. Default `same`. */
  readonly server?: 'same' | 'other';
  readonly service?: string;
  /** Replaces the realm in the challenge. */
  readonly realm?: string;
  /** Of the answer, in seconds; 'omit' leaves it out, which means 60. Tokens really expire then. Default 300. */
  readonly expiresInS?: number | 'omit';
  /** Name of the token's field in the answer. Default `token`. */
  readonly field?: 'token' | 'access_token';
  /** The clock by which tokens expire, in ms. */
  readonly now?: () => number;
}

export type AuthOptions = BasicAuthOptions | TokenAuthOptions;

/** Undefined: may pass. Otherwise the value of WWW-Authenticate. */
export type Challenge = string | undefined;

export interface Authenticator {
  check(request: UpstreamRequest, authorization: string | undefined): Challenge;
}

export class BasicAuthenticator implements Authenticator {
  readonly #options: BasicAuthOptions;

  constructor(options: BasicAuthOptions) {
    this.#options = options;
  }

  check(request: UpstreamRequest, authorization: string | undefined): Challenge {
    const account = accountOf(this.#options.accounts, authorization);
    const free =
      request.repository !== undefined && includes(this.#options.anonymous ?? [], request.repository);
    return free || mayPull(account, request.repository) ? undefined : 'Basic realm="fake upstream"';
  }
}

interface IssuedToken {
  readonly repositories: ReadonlySet<string>;
  readonly expiresAt: number;
}

/** What the token endpoint was asked and gave. */
export interface TokenGrant {
  /** Undefined: anonymous. */
  readonly account: string | undefined;
  readonly scopes: readonly string[];
  /** Repositories whose pull was granted. */
  readonly granted: readonly string[];
}

export class TokenIssuer implements Authenticator {
  readonly #options: TokenAuthOptions;
  readonly #realm: () => string;
  readonly #tokens = new Map<string, IssuedToken>();
  readonly #grants: TokenGrant[] = [];

  constructor(options: TokenAuthOptions, realm: () => string) {
    this.#options = options;
    this.#realm = realm;
  }

  /** One for each token given, in order. */
  get grants(): readonly TokenGrant[] {
    return this.#grants;
  }

  /** All tokens given so far are refused from now on. */
  revokeAll(): void {
    this.#tokens.clear();
  }

  check(request: UpstreamRequest, authorization: string | undefined): Challenge {
    const presented = /^bearer (.+)$/i.exec(authorization ?? '')?.[1];
    const token = presented === undefined ? undefined : this.#tokens.get(presented);
    const valid = token !== undefined && token.expiresAt > this.#now();
    if (valid && (request.repository === undefined || token.repositories.has(request.repository)))
      return undefined;
    const parameters = [
      `realm="${this.#options.realm ?? this.#realm()}"`,
      `service="${this.#options.service ?? 'fake.registry'}"`,
      ...(request.repository === undefined ? [] : [`scope="repository:${request.repository}:pull"`]),
      ...(presented === undefined ? [] : [`error="${valid ? 'insufficient_scope' : 'invalid_token'}"`]),
    ];
    return `Bearer ${parameters.join(',')}`;
  }

  /** The token endpoint: status and JSON body. */
  issue(query: URLSearchParams, authorization: string | undefined): { status: number; body: object } {
    const account = accountOf(this.#options.accounts ?? {}, authorization);
    if (authorization !== undefined && account === undefined) {
      return { status: 401, body: { details: 'incorrect username or password' } };
    }
    const scopes = query.getAll('scope').flatMap(scope => scope.split(' '));
    const asked = scopes
      .map(scope => /^repository:(.+):[^:]*\bpull\b[^:]*$/.exec(scope)?.[1])
      .filter(name => name !== undefined);
    const granted = asked.filter(
      name => includes(this.#options.anonymous ?? 'all', name) || mayPull(account, name),
    );
    const token = randomBytes(24).toString('base64url');
    const { expiresInS = 300, field = 'token' } = this.#options;
    const lifetimeS = expiresInS === 'omit' ? 60 : expiresInS;
    this.#tokens.set(token, { repositories: new Set(granted), expiresAt: this.#now() + lifetimeS * 1000 });
    this.#grants.push({ account: account?.name, scopes, granted });
    return {
      status: 200,
      body: { [field]: token, ...(expiresInS !== 'omit' && { expires_in: expiresInS }) },
    };
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now();
  }
}

type NamedAccount = Account & { readonly name: string };

function accountOf(
  accounts: Readonly<Record<string, Account>>,
  authorization: string | undefined,
): NamedAccount | undefined {
  const encoded = /^basic (.+)$/i.exec(authorization ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const name = text.slice(0, text.indexOf(':'));
  const account = accounts[name];
  return account?.password === text.slice(text.indexOf(':') + 1) ? { ...account, name } : undefined;
}

function mayPull(account: Account | undefined, repository: string | undefined): boolean {
  if (account === undefined) return false;
  return repository === undefined || includes(account.repositories ?? 'all', repository);
}

function includes(repositories: readonly string[] | 'all', repository: string): boolean {
  return repositories === 'all' || repositories.includes(repository);
}
