/**
 * Who sends a request and what they may do. Both are decided by HTTP before anything is looked up, anew for each request.
 */
import { formatChallenge } from '../oci/challenge.ts';
import { RegistryError } from '../oci/error.ts';
import type { Credentials, Users } from './htpasswd.ts';
import type { Action, Rules } from './rules.ts';

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

export interface AccessOptions {
  /** Undefined: there are no users, and credentials are ignored. */
  readonly users: Pick<Users, 'areRight'> | undefined;
  readonly rules: Rules;
}

export class Access {
  readonly #users: AccessOptions['users'];
  readonly #rules: Rules;

  constructor({ users, rules }: AccessOptions) {
    this.#users = users;
    this.#rules = rules;
  }

  /**
   * `authorization`: the header as sent; `address`: the client's. Errors: `WrongCredentials`; UNAVAILABLE when too many
   * log in at once.
   */
  async authenticate(authorization: string | undefined, address: string | undefined): Promise<RuledCaller> {
    return new RuledCaller(this.#rules, await this.#userOf(authorization), address);
  }

  /** A caller without credentials. */
  anonymous(address: string | undefined): RuledCaller {
    return new RuledCaller(this.#rules, undefined, address);
  }

  /** The client is logged in, or this mirror has no users. Errors: as `authenticate`. */
  async isLoggedIn(authorization: string | undefined): Promise<boolean> {
    return this.#users === undefined || (await this.#userOf(authorization)) !== undefined;
  }

  async #userOf(authorization: string | undefined): Promise<string | undefined> {
    if (this.#users === undefined) return undefined;
    const credentials = parseBasic(authorization);
    if (credentials === undefined) return undefined;
    if (credentials === 'malformed' || !(await this.#users.areRight(credentials)))
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
