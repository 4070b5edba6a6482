/**
 * The seam between logins and where users come from: an htpasswd file, an LDAP directory. Providers are asked in order, and the
 * first that knows the name decides. A provider neither logs nor counts failed logins: its caller does.
 */
import type { Credentials } from './credentials.ts';

export interface Identity {
  readonly user: string;
  /** Without `@`; only those that rules name. */
  readonly groups: readonly string[];
}

export interface CheckedIdentity extends Identity {
  /** For so long it may be remembered by others; absent: the provider remembers nothing and doesn't mind. */
  readonly rememberMs?: number;
}

/**
 * `wrong`: it knows the name, and the password is another. `unavailable`: it cannot say now, and no other provider may answer
 * in its place. Undefined: it has no such name.
 */
export type IdentityCheck = CheckedIdentity | 'wrong' | 'unavailable' | undefined;

export interface IdentityProvider {
  /** A metric label and a field of log lines. */
  readonly source: 'htpasswd' | 'ldap';
  /**
   * `address`: the client's, so that many logins of one address don't keep others waiting; `''`: unknown.
   * Errors: UNAVAILABLE when too many log in at once. An empty password is never asked for.
   */
  check(credentials: Credentials, address: string): Promise<IdentityCheck>;
  /**
   * Takes as long as the check of a name that is known, so that time doesn't tell which names there are. Absent: `check`
   * takes as long for unknown names.
   */
  pretend?(password: string, address: string): Promise<void>;
  /**
   * Changes when what it remembers about this name no longer counts, such as another password in the file. Never a secret:
   * a version or a hash.
   */
  versionOf(name: string): Promise<string>;
  /** There is a user of that name. Absent: it can't say without the password. */
  hasUser?(name: string): Promise<boolean>;
  /** It is not asked any more. Absent: it holds nothing. */
  close?(): void;
}
