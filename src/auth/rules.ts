/**
 * `access.rules` as a pure function: the first rule that matches repository, caller and address decides; without a match
 * the answer is no. Without rules every caller pulls public content, and nothing else. Private content needs a login: a
 * rule for `anonymous` never opens it and is skipped for it.
 */
import { AddressBlocks } from '../lib/address-blocks.ts';

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

export class Rules {
  readonly #rules: readonly (Rule & { readonly blocks: AddressBlocks | undefined })[] | undefined;

  /** Undefined: no rules. Errors: TypeError or RangeError for a `from` that is no address. */
  constructor(rules: readonly Rule[] | undefined) {
    this.#rules = rules?.map(rule => ({
      matches: name => rule.matches(name),
      users: rule.users,
      from: rule.from,
      actions: rule.actions,
      blocks: rule.from.length === 0 ? undefined : new AddressBlocks(rule.from),
    }));
  }

  allow(asking: Asking): boolean {
    if (this.#rules === undefined) return asking.action === 'pull' && asking.visibility === 'public';
    if (!this.#decide(asking, true)) return false;
    return asking.visibility === 'public' || this.#decide(asking, false);
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

function includesUser(entry: string, user: string | undefined, withAnonymous: boolean): boolean {
  if (entry === 'anonymous') return withAnonymous;
  return user !== undefined && (entry === '*' || entry === user);
}
