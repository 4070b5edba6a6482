/**
 * Who sends a request and what they may do. Both are decided by HTTP before anything is looked up, anew for each request.
 */

import { formatChallenge } from '../oci/challenge.ts';
import { RegistryError } from '../oci/error.ts';
import type { Users } from './htpasswd.ts';
import { parseBasic } from './identity/credentials.ts';
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
  /** Made with `hasUsers` where there are users. */
  readonly rules: Rules;
}

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
  async authenticate(authorization: string | undefined, address: string | undefined): Promise<RuledCaller> {
    return new RuledCaller(this.#rules, await this.#userOf(authorization, address), address);
  }

  /** A caller without credentials. */
  anonymous(address: string | undefined): RuledCaller {
    return new RuledCaller(this.#rules, undefined, address);
  }

  /** The client is logged in, or this mirror has no users. Errors: as `authenticate`. */
  async isLoggedIn(authorization: string | undefined, address: string | undefined): Promise<boolean> {
    return this.#users === undefined || (await this.#userOf(authorization, address)) !== undefined;
  }

  async #userOf(authorization: string | undefined, address: string | undefined): Promise<string | undefined> {
    if (this.#users === undefined) return undefined;
    const credentials = parseBasic(authorization);
    if (credentials === undefined) return undefined;
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
