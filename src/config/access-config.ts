/** Who may use the registry, after loading: where users come from, and rules over canonical names. */

export interface AccessConfig {
  /** Absolute. Undefined: there are no users. */
  readonly htpasswd?: string;
  /** Undefined: no directory is asked. Names of the htpasswd file go first. */
  readonly ldap?: LdapConfig;
  /** How long a token is good: at least a minute (clients raise shorter lives), at most a day. */
  readonly tokenTtlMs: number;
  /** Undefined: everyone pulls what is public. */
  readonly rules?: readonly AccessRule[];
}

export interface LdapConfig {
  /** ldap or ldaps, without a path. At least one; asked in this order. */
  readonly urls: readonly URL[];
  readonly startTls: boolean;
  /** PEM text, instead of the authorities that Node trusts. */
  readonly ca?: string;
  /** Templates with `{user}`. `search`: the entry is found by a filter; `direct`: its name is made of the user's. */
  readonly users:
    | { readonly how: 'search'; readonly base: string; readonly filter: string }
    | { readonly how: 'direct'; readonly dn: string };
  /** Who searches; absent: without a login. The password is never to be printed. */
  readonly searcher?: { readonly dn: string; readonly password: string };
  /** Absent: no groups. `filter`: a template with `{dn}` or `{user}`. `memberOf`: read from the user's entry instead. */
  readonly groups?: { readonly base: string; readonly filter: string; readonly memberOf: boolean };
  readonly staleIfDownMs: number;
}

export interface AccessRule {
  /** Patterns over canonical names (`docker.io/library/**`). At least one. */
  readonly repositories: readonly string[];
  /** Names; `@name`: a group; `*`: every logged-in user; `anonymous`: everyone. At least one. */
  readonly users: readonly string[];
  /** IP addresses and CIDR blocks, as `node:net` BlockList takes them; none: from anywhere. */
  readonly from: readonly string[];
  readonly actions: readonly ('pull' | 'push' | 'delete' | 'admin')[];
}
