/**
 * What HTTP asks about a request before anything is looked up: who is it, and what may they have. Both are decided anew
 * for each request.
 */
import { parseBasic } from './basic.ts';
import type { Rules } from './rules.ts';
import type { Users } from './users.ts';
import { WrongCredentials } from './wrong-credentials.ts';

/** As `Caller` of the registry contract. */
export interface Visitor {
  mayPull(canonicalName: string, visibility: 'public' | 'private'): boolean;
}

export interface AccessOptions {
  /** Undefined: there are none, and nobody's credentials are looked at. */
  readonly users: Pick<Users, 'areRight'> | undefined;
  readonly rules: Rules;
}

export class Access {
  readonly #options: AccessOptions;

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  /**
   * `authorization`: the header as it came; `address`: the client's. Errors: `WrongCredentials`; UNAVAILABLE when too
   * many log in at once.
   */
  async visitor(authorization: string | undefined, address: string | undefined): Promise<Visitor> {
    return this.#admit(await this.#identify(authorization), address);
  }

  /** Somebody without a login: decided at once. */
  stranger(address: string | undefined): Visitor {
    return this.#admit(undefined, address);
  }

  #admit(user: string | undefined, address: string | undefined): Visitor {
    const { rules } = this.#options;
    return {
      mayPull: (canonicalName, visibility) =>
        rules.allow({ user, address, canonicalName, action: 'pull', visibility }),
    };
  }

  /** Somebody with a name asks, or there are no names here. Errors: as `visitor`. */
  async isKnown(authorization: string | undefined): Promise<boolean> {
    return this.#options.users === undefined || (await this.#identify(authorization)) !== undefined;
  }

  /** The name; undefined without a login. */
  async #identify(authorization: string | undefined): Promise<string | undefined> {
    const { users } = this.#options;
    const credentials = users === undefined ? undefined : parseBasic(authorization);
    if (users === undefined || credentials === undefined) return undefined;
    if (credentials === 'malformed' || !(await users.areRight(credentials))) throw new WrongCredentials();
    return credentials.name;
  }
}
