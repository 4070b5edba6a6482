/**
 * `access.rules` as a pure function: the rights of a caller over canonical names, whether or not anything has that name.
 */
import { AddressBlocks } from '../lib/address-blocks.ts';
import { isHostLike } from '../oci/name.ts';

export type Action = 'pull' | 'push' | 'delete' | 'admin';

export interface Rule {
  /** Over canonical names: `docker.io/library/alpine`. */
  matches(canonicalName: string): boolean;
  /** Names; `@name`: the members of a group; `*`: every logged-in user; `anonymous`: every caller. */
  readonly users: readonly string[];
  /** IP addresses and CIDR blocks; none: from anywhere. */
  readonly from: readonly string[];
  readonly actions: readonly Action[];
}

export interface Asking {
  /** Undefined: without a login. */
  readonly user: string | undefined;
  /** Without `@`. */
  readonly groups?: readonly string[];
  /** An IP address; undefined: unknown. */
  readonly address: string | undefined;
  readonly canonicalName: string;
  readonly action: Action;
  readonly visibility: 'public' | 'private';
}

/**
 * The first rule that matches repository, caller and address decides; without a match
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

  /** Clients can log in, or show a certificate. */
  get hasUsers(): boolean {
    return this.#hasUsers;
  }

  get areGiven(): boolean {
    return this.#rules !== undefined;
  }

  #allowWithoutRules({ user, canonicalName, action, visibility }: Asking): boolean {
    if (!isHostedName(canonicalName)) return action === 'pull' && visibility === 'public';
    return (action === 'pull' || action === 'push') && (!this.#hasUsers || user !== undefined);
  }

  #decide({ user, groups = [], address, canonicalName, action }: Asking, withAnonymous: boolean): boolean {
    const first = this.#rules?.find(
      rule =>
        rule.users.some(entry => includesCaller(entry, { user, groups }, withAnonymous)) &&
        rule.matches(canonicalName) &&
        (rule.blocks === undefined || (address !== undefined && rule.blocks.has(address))),
    );
    return first?.actions.includes(action) ?? false;
  }
}

/** Canonical names of upstreams begin with a host. */
function isHostedName(canonicalName: string): boolean {
  const slash = canonicalName.indexOf('/');
  return !isHostLike(slash === -1 ? canonicalName : canonicalName.slice(0, slash));
}

function includesCaller(
  entry: string,
  { user, groups }: { readonly user: string | undefined; readonly groups: readonly string[] },
  withAnonymous: boolean,
): boolean {
  if (entry === 'anonymous') return withAnonymous;
  if (user === undefined) return false;
  if (entry.startsWith('@')) return groups.includes(entry.slice(1)); // no user of that name, wherever users come from
  return entry === '*' || entry === user;
}
