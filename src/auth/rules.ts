/**
 * `access.rules` as a pure function: the first rule that is about this repository, this caller and this address decides,
 * and what no rule is about is denied. Without rules everybody pulls what is public, and nobody what isn't.
 *
 * What is private is only for those who have a name: a rule for `anonymous` never opens it, and isn't looked at then.
 */
import { BlockList, isIP } from 'node:net';

export type Action = 'pull' | 'push' | 'delete';

export interface Rule {
  /** Over canonical names: `docker.io/library/alpine`. */
  matches(canonicalName: string): boolean;
  /** Names; `*`: everybody with a name; `anonymous`: everybody. */
  readonly users: readonly string[];
  /** IP addresses and CIDR blocks; none: from anywhere. */
  readonly from: readonly string[];
  readonly actions: readonly Action[];
}

export interface Asking {
  /** Undefined: without a login. */
  readonly user: string | undefined;
  /** An IP address; undefined when it isn't known. */
  readonly address: string | undefined;
  readonly canonicalName: string;
  readonly action: Action;
  readonly visibility: 'public' | 'private';
}

export class Rules {
  readonly #rules: readonly (Rule & { readonly blocks: BlockList | undefined })[] | undefined;

  /** Undefined: no rules. Errors: TypeError or RangeError for a `from` that is no address. */
  constructor(rules: readonly Rule[] | undefined) {
    this.#rules = rules?.map(rule => ({
      matches: name => rule.matches(name),
      users: rule.users,
      from: rule.from,
      actions: rule.actions,
      blocks: rule.from.length === 0 ? undefined : blocksOf(rule.from),
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
        rule.users.some(entry => isMeant(entry, user, withAnonymous)) &&
        rule.matches(canonicalName) &&
        (rule.blocks === undefined || isWithin(rule.blocks, address)),
    );
    return first?.actions.includes(action) ?? false;
  }
}

function isMeant(entry: string, user: string | undefined, withAnonymous: boolean): boolean {
  if (entry === 'anonymous') return withAnonymous;
  return user !== undefined && (entry === '*' || entry === user);
}

function isWithin(blocks: BlockList, address: string | undefined): boolean {
  if (address === undefined || isIP(address) === 0) return false;
  return blocks.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

function blocksOf(from: readonly string[]): BlockList {
  const blocks = new BlockList();
  for (const entry of from) {
    const [address = '', prefix] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (prefix === undefined) blocks.addAddress(address, family);
    else blocks.addSubnet(address, Number(prefix), family);
  }
  return blocks;
}
