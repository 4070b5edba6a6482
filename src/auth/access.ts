/**
 * Who sends a request and what they may do. Both are decided by HTTP before anything is looked up, anew for each request.
 */

import { AddressBlocks } from '../lib/address-blocks.ts';
import { formatChallenge } from '../oci/challenge.ts';
import { RegistryError } from '../oci/error.ts';
import { isHostLike } from '../oci/name.ts';
import type { Credentials, Users } from './htpasswd.ts';

/**
 * The only 401 of this mirror: the client sent wrong credentials. A client without credentials never gets it, because
 * dockerd would answer the challenge with its Docker Hub password.
 */
export class WrongCredentials extends RegistryError {
  /** Value of `WWW-Authenticate`, which RFC 9110 15.5.2 requires with every 401. */
  readonly challenge = formatChallenge({ scheme: 'basic', parameters: new Map([['realm', 'Cistern']]) });

  constructor() {
    super('UNAUTHORIZED', { message: 'wrong user name or password' });
    this.name = 'WrongCredentials';
  }
}

/** What the connection of a request says of its client. */
export interface Connection {
  /** False: every caller is anonymous, and credentials are ignored. */
  readonly takesLogins: boolean;
  /** The user of the client's certificate. Credentials of the request go first. */
  readonly user: string | undefined;
}

export interface AccessOptions {
  /** Undefined: there are no users, and credentials are ignored. */
  readonly users: Pick<Users, 'areRight'> | undefined;
  /** Made with `hasUsers` where there are users. */
  readonly rules: Rules;
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

  /** There are neither users nor rules: no caller may delete, so that isn't a matter of rights. */
  get isOpen(): boolean {
    return this.#users === undefined && !this.#rules.areGiven;
  }

  /**
   * `authorization`: the header as sent; `address`: the client's. Errors: `WrongCredentials`; UNAVAILABLE when too many
   * log in at once.
   */
  async authenticate(
    authorization: string | undefined,
    address: string | undefined,
    connection?: Connection,
  ): Promise<RuledCaller> {
    return new RuledCaller(this.#rules, await this.#userOf(authorization, address, connection), address);
  }

  /** A caller without credentials. */
  anonymous(address: string | undefined): RuledCaller {
    return new RuledCaller(this.#rules, undefined, address);
  }

  /** The client is logged in, or this mirror has no users. Errors: as `authenticate`. */
  async isLoggedIn(
    authorization: string | undefined,
    address: string | undefined,
    connection?: Connection,
  ): Promise<boolean> {
    return (
      this.#users === undefined || (await this.#userOf(authorization, address, connection)) !== undefined
    );
  }

  async #userOf(
    authorization: string | undefined,
    address: string | undefined,
    { takesLogins, user }: Connection = plainConnection,
  ): Promise<string | undefined> {
    if (!takesLogins) return undefined;
    if (this.#users === undefined) return user;
    const credentials = parseBasic(authorization);
    if (credentials === undefined) return user;
    if (credentials === 'malformed' || !(await this.#users.areRight(credentials, address)))
      throw new WrongCredentials();
    return credentials.name;
  }
}

/** A `Caller` of the registry contract whose rights come from `access.rules`. */
class RuledCaller {
  readonly user: string | undefined;
  readonly #rules: Rules;
  readonly #address: string | undefined;

  constructor(rules: Rules, user: string | undefined, address: string | undefined) {
    this.#rules = rules;
    this.user = user;
    this.#address = address;
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
    const { user } = this;
    return this.#rules.allow({ user, address: this.#address, canonicalName, action, visibility });
  }
}

/** A longer name or password is malformed: bcrypt reads 72 bytes anyway. */
const maxCredentialsLength = 1024;

/**
 * `Authorization: Basic …` (RFC 7617), a name and a password in UTF-8. `malformed`: the scheme is Basic, the rest is not.
 * Undefined: the header is absent or has another scheme, which is no login here.
 */
export function parseBasic(header: string | undefined): Credentials | 'malformed' | undefined {
  const [, encoded] = /^basic(?: +(.*))?$/is.exec(header?.trim() ?? '') ?? [];
  if (encoded === undefined) return /^basic\b/i.test(header?.trim() ?? '') ? 'malformed' : undefined;
  if (encoded.length > 2 * maxCredentialsLength || !/^[A-Za-z0-9+/]+={0,2}$/.test(encoded))
    return 'malformed';
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 1 || text.includes('\0')) return 'malformed';
  return { name: text.slice(0, colon), password: text.slice(colon + 1) };
}

export type Action = 'pull' | 'push' | 'delete' | 'admin';

export interface Rule {
  /** Over canonical names: `docker.io/library/alpine`. */
  matches(canonicalName: string): boolean;
  /** Names; `*`: every logged-in user; `anonymous`: every caller. */
  readonly users: readonly string[];
  /** IP addresses and CIDR blocks; none: from anywhere. */
  readonly from: readonly string[];
  readonly actions: readonly Action[];
}

export interface Asking {
  /** Undefined: without a login. */
  readonly user: string | undefined;
  /** An IP address; undefined: unknown. */
  readonly address: string | undefined;
  readonly canonicalName: string;
  readonly action: Action;
  readonly visibility: 'public' | 'private';
}

/**
 * `access.rules` as a pure function: the first rule that matches repository, caller and address decides; without a match
 * the answer is no. Private content of an upstream needs a login: a rule for `anonymous` never opens it and is skipped for
 * it. Without rules every caller pulls public content of upstreams, and pulls and pushes what is hosted; where there are
 * users, only those who are logged in have hosted content.
 */
export class Rules {
  readonly #rules: readonly (Rule & { readonly blocks: AddressBlocks | undefined })[] | undefined;

  readonly #hasUsers: boolean;

  /** Undefined: no rules. Errors: TypeError or RangeError for a `from` that is no address. */
  constructor(rules: readonly Rule[] | undefined, { hasUsers = false } = {}) {
    this.#hasUsers = hasUsers;
    this.#rules = rules?.map(rule => ({
      matches: name => rule.matches(name),
      users: rule.users,
      from: rule.from,
      actions: rule.actions,
      blocks: rule.from.length === 0 ? undefined : new AddressBlocks(rule.from),
    }));
  }

  allow(asking: Asking): boolean {
    if (this.#rules === undefined) return this.#allowWithoutRules(asking);
    if (!this.#decide(asking, true)) return false;
    const needsLogin = asking.visibility === 'private' && !isHostedName(asking.canonicalName);
    return !needsLogin || this.#decide(asking, false);
  }

  get areGiven(): boolean {
    return this.#rules !== undefined;
  }

  #allowWithoutRules({ user, canonicalName, action, visibility }: Asking): boolean {
    if (!isHostedName(canonicalName)) return action === 'pull' && visibility === 'public';
    return (action === 'pull' || action === 'push') && (!this.#hasUsers || user !== undefined);
  }

  #decide({ user, address, canonicalName, action }: Asking, withAnonymous: boolean): boolean {
    const first = this.#rules?.find(
      rule =>
        rule.users.some(entry => includesUser(entry, user, withAnonymous)) &&
        rule.matches(canonicalName) &&
        (rule.blocks === undefined || (address !== undefined && rule.blocks.has(address))),
    );
    return first?.actions.includes(action) ?? false;
  }
}

/** Canonical names of upstreams begin with a host. */
function isHostedName(canonicalName: string): boolean {
  const [first = ''] = canonicalName.split('/', 1);
  return !isHostLike(first);
}

function includesUser(entry: string, user: string | undefined, withAnonymous: boolean): boolean {
  if (entry === 'anonymous') return withAnonymous;
  return user !== undefined && (entry === '*' || entry === user);
}
