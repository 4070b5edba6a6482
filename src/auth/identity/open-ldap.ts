/** The users of an LDAP directory, from its settings and the rules that name its groups, and what the log says of it. */
import type { Rule } from '../rules.ts';
import { LdapUsers } from './ldap.ts';
import type { LdapDirectory } from './ldap-lookup.ts';

/** As `access.ldap` in the configuration has it. */
export interface LdapSettings extends Pick<LdapDirectory, 'users' | 'searcher' | 'groups'> {
  /** At least one; asked in this order. */
  readonly urls: readonly URL[];
  readonly startTls: boolean;
  /** PEM text, instead of the authorities that Node trusts. */
  readonly ca?: string;
  readonly staleIfDownMs: number;
}

type Tell = (message: string, fields: Readonly<Record<string, unknown>>) => void;

export interface LdapContext {
  readonly settings: LdapSettings;
  /** Undefined: there are none, so no group is asked for. */
  readonly rules: readonly Pick<Rule, 'users'>[] | undefined;
  /** The name belongs to a provider that goes first; absent: there is none. */
  readonly isTaken?: (user: string) => Promise<boolean>;
  readonly logger: { readonly error: Tell; readonly warn: Tell; readonly info: Tell };
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Nothing is connected before the first login. `close` it when it is replaced. */
export function openLdap({ settings, rules, isTaken, logger, now }: LdapContext): LdapUsers {
  const { urls, startTls, ca, users, searcher, groups, staleIfDownMs } = settings;
  const servers = urls.map(url => url.href);
  return new LdapUsers({
    servers: urls.map(url => ({ url, startTls, ...(ca !== undefined && { ca }) })),
    directory: {
      users,
      ...(searcher !== undefined && { searcher }),
      ...(groups !== undefined && { groups }),
      groupNames: groupsIn(rules ?? []),
    },
    staleIfDownMs,
    now,
    onTrouble: error =>
      logger.error('cannot ask the LDAP directory: users who are not remembered cannot log in', {
        servers,
        error,
      }),
    onRecovered: () => logger.info('the LDAP directory answers again', { servers }),
    onAmbiguous: user =>
      logger.warn('refusing a login: access.ldap.filter finds more than one entry for the name', { user }),
    ...(isTaken !== undefined && { isTaken }),
  });
}

/** `@name` in rules, without the `@`, each once. */
function groupsIn(rules: readonly Pick<Rule, 'users'>[]): readonly string[] {
  const entries = rules.flatMap(({ users }) => users).filter(entry => entry.startsWith('@'));
  return [...new Set(entries.map(entry => entry.slice(1)))];
}
