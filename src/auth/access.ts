/**
 * Who sends a request and what they may do. Both are decided by HTTP before anything is looked up, anew for each request: by rules over
 * canonical names, and by the scopes of the token that came with it, which only narrow.
 */
import { type Credentials, parseBasic, parseBearer } from './identity/credentials.ts';
import type { Identity } from './identity/identity-provider.ts';
import type { CheckOptions, Logins } from './identity/logins.ts';
import { LoginRequired, WrongCredentials } from './refusals.ts';
import type { Action, Rules } from './rules.ts';
import { doesInclude, formatScope, type Scope } from './tokens/scope.ts';
import type { IssuedToken, Tokens, VerifiedToken } from './tokens/tokens.ts';

/** What the connection of a request says of its client. */
export interface Connection {
  /** False: every caller is anonymous, and credentials are ignored. */
  readonly takesLogins: boolean;
  /** The user of the client's certificate. Credentials of the request go first. */
  readonly user: string | undefined;
}

export interface AccessOptions {
  /** Undefined: there are no users, and credentials and tokens are ignored. */
  readonly users:
    | { readonly logins: Pick<Logins, 'check' | 'mayBeUser' | 'versionOf'>; readonly tokens: Tokens }
    | undefined;
  /** Made with `hasUsers` where there are users. */
  readonly rules: Rules;
}

/** What a request's credentials say. */
export interface Authenticated {
  readonly caller: RuledCaller;
  /** Credentials or a token came with it, even an anonymous one. */
  readonly isKnown: boolean;
  /** Its token has expired: only upload sessions of its user take it. */
  readonly isExpired: boolean;
  /** The token's; undefined: nothing narrows the rights. */
  readonly scopes: readonly Scope[] | undefined;
}

/** A login as a session keeps it. */
export interface SessionIdentity extends Identity {
  /** Changes with the user's entry and password. */
  readonly version: string;
}

export interface AuthenticateOptions {
  /** The request is about an upload session. */
  readonly acceptsExpired?: boolean;
  readonly connection?: Connection | undefined;
}

const plainConnection: Connection = { takesLogins: true, user: undefined };

export class Access {
  #users: AccessOptions['users'];
  #rules: Rules;

  constructor({ users, rules }: AccessOptions) {
    this.#users = users;
    this.#rules = rules;
  }

  /** For requests from now on. */
  replace({ users, rules }: AccessOptions): void {
    this.#users = users;
    this.#rules = rules;
  }

  /** Clients can log in. */
  get hasUsers(): boolean {
    return this.#users !== undefined;
  }

  /** There are users, if only by client certificates. */
  get knowsUsers(): boolean {
    return this.#users !== undefined || this.#rules.hasUsers;
  }

  /** There are neither users nor rules: no caller may delete, so that isn't a matter of rights. */
  get isOpen(): boolean {
    return this.#users === undefined && !this.#rules.areGiven;
  }

  /**
   * `authorization`: the header as sent, which goes before what the connection says; `address`: the client's.
   * Errors: `WrongCredentials`; `LoginRequired` for a token that is not of this registry or has expired; UNAVAILABLE when logins can't be
   * checked now.
   */
  async authenticate(
    authorization: string | undefined,
    address: string | undefined,
    { acceptsExpired = false, connection = plainConnection }: AuthenticateOptions = {},
  ): Promise<Authenticated> {
    if (this.#users === undefined || authorization === undefined || !connection.takesLogins)
      return this.#withoutCredentials(connection, address);
    const credentials = parseBasic(authorization);
    if (credentials === 'malformed') throw new WrongCredentials();
    if (credentials !== undefined) {
      const identity = await this.#users.logins.check(credentials, address);
      return this.#known({ ...(identity ?? nameless), address });
    }
    const bearer = parseBearer(authorization);
    if (bearer === undefined) return this.#withoutCredentials(connection, address);
    const token = bearer === 'malformed' ? undefined : await this.#users.tokens.verify(bearer.token);
    const { logins } = this.#users;
    const isOver =
      token?.isExpired === true && !(acceptsExpired && (await logins.mayBeUser(token.user ?? '')));
    if (token === undefined || isOver) {
      const message = token === undefined ? 'the token is not of this registry' : 'the token has expired';
      throw new LoginRequired(message, { reason: 'invalid_token' });
    }
    return this.#known({ ...token, address });
  }

  /**
   * As `authenticate`, for what is known at once: no credentials, or a token that was verified before. Undefined: anything else.
   */
  authenticateAtOnce(
    authorization: string | undefined,
    address: string | undefined,
    connection: Connection = plainConnection,
  ): Authenticated | undefined {
    if (this.#users === undefined || authorization === undefined || !connection.takesLogins)
      return this.#withoutCredentials(connection, address);
    const bearer = parseBearer(authorization);
    if (bearer === undefined || bearer === 'malformed') return undefined;
    const token = this.#users.tokens.known(bearer.token);
    return token === undefined ? undefined : this.#known({ ...token, address });
  }

  /** A caller without credentials. */
  anonymous(address: string | undefined): Authenticated {
    const caller = new RuledCaller(this.#rules, { user: undefined, groups: [], address });
    return { caller, isKnown: false, isExpired: false, scopes: undefined };
  }

  /** The client is logged in, by whatever means, or this registry has no users. Errors: as `authenticate`. */
  async isLoggedIn(
    authorization: string | undefined,
    address: string | undefined,
    connection?: Connection,
  ): Promise<boolean> {
    if (!this.knowsUsers) return true;
    const { caller } = await this.authenticate(authorization, address, { connection });
    return caller.user !== undefined;
  }

  /** The user of a name and a password. Undefined: not right, only with `isLenient`, or there are no users. Errors: as `authenticate`. */
  async login(
    authorization: ReturnType<typeof parseBasic>,
    address: string | undefined,
    options: CheckOptions,
  ): Promise<Identity | undefined> {
    if (this.#users === undefined || authorization === undefined) return undefined;
    if (authorization !== 'malformed') return this.#users.logins.check(authorization, address, options);
    if (options.isLenient === true) return undefined;
    throw new WrongCredentials();
  }

  /** What a session keeps of a login. Errors: as `authenticate`. */
  async beginSession(credentials: Credentials, address: string | undefined): Promise<SessionIdentity> {
    if (this.#users === undefined) throw new WrongCredentials();
    const { logins } = this.#users;
    const version = await logins.versionOf(credentials.name);
    const identity = await logins.check(credentials, address);
    if (identity === undefined) throw new WrongCredentials();
    return { ...identity, version };
  }

  /** Undefined: its user is gone or has another password since. */
  async resumeSession(
    { user, groups, version }: SessionIdentity,
    address: string | undefined,
  ): Promise<Authenticated | undefined> {
    const isSame = this.#users !== undefined && (await this.#users.logins.versionOf(user)) === version;
    return isSame ? this.#known({ user, groups, address }) : undefined;
  }

  /** Undefined: there are no users. */
  async issueToken(
    identity: Identity | undefined,
    scopes: readonly Scope[],
  ): Promise<IssuedToken | undefined> {
    return this.#users?.tokens.issue(identity, scopes);
  }

  #withoutCredentials({ takesLogins, user }: Connection, address: string | undefined): Authenticated {
    return takesLogins && user !== undefined ? this.#known({ user, address }) : this.anonymous(address);
  }

  #known(
    known: Partial<VerifiedToken> & { user: string | undefined; address: string | undefined },
  ): Authenticated {
    const { user, groups = [], address, scopes, isExpired = false } = known;
    const caller = new RuledCaller(this.#rules, { user, groups, address });
    return { caller, isKnown: true, isExpired, scopes };
  }
}

const nameless = { user: undefined, groups: [] } as const;

/** Errors: `LoginRequired` when the token is not for that: its client can ask for another one. */
export function requireScope({ scopes }: Authenticated, wanted: Scope): void {
  if (scopes === undefined || doesInclude(scopes, wanted)) return;
  const scope = formatScope(wanted);
  throw new LoginRequired(`the token is not for ${scope}`, { scope, reason: 'insufficient_scope' });
}

interface Holder {
  readonly user: string | undefined;
  readonly groups: readonly string[];
  readonly address: string | undefined;
}

/** A `Caller` of the registry contract whose rights come from `access.rules`. */
class RuledCaller {
  readonly #rules: Rules;
  readonly #holder: Holder;

  constructor(rules: Rules, holder: Holder) {
    this.#rules = rules;
    this.#holder = holder;
  }

  get user(): string | undefined {
    return this.#holder.user;
  }

  mayPull(canonicalName: string, visibility: 'public' | 'private'): boolean {
    return this.#may('pull', canonicalName, visibility);
  }

  mayPush(canonicalName: string): boolean {
    return this.#may('push', canonicalName, 'public');
  }

  mayDelete(canonicalName: string): boolean {
    return this.#may('delete', canonicalName, 'public');
  }

  mayAdminister(canonicalName: string): boolean {
    return this.#may('admin', canonicalName, 'public');
  }

  #may(action: Action, canonicalName: string, visibility: 'public' | 'private'): boolean {
    const { user, groups, address } = this.#holder;
    return this.#rules.allow({ user, groups, address, canonicalName, action, visibility });
  }
}
