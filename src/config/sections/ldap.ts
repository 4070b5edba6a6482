/** The section `access.ldap`: its keys, the rules between them, and the configuration made of them. */
import { z } from 'zod';
import type { AccessConfig, LdapConfig } from '../access-config.ts';
import type { Findings } from '../findings.ts';
import type { Remark } from '../hints/surprises.ts';
import { formatPath, isSection, type Path, refusal, ValueError, valueAt } from '../problem.ts';
import { duration, parsed, text } from '../schema-values.ts';

const at: Path = ['access', 'ldap'];

export const ldapSchema = z.strictObject({
  url: z
    .preprocess(value => (Array.isArray(value) ? value : [value]), z.array(parsed(parseLdapUrl)).min(1))
    .optional(),
  base: text.optional(),
  filter: parsed(value => parseFilter(value, ['user'])).prefault('(uid={user})'),
  bind_dn: text.optional(),
  bind_password_file: text.optional(),
  user_dn: parsed(parseUserDn).optional(),
  start_tls: z.boolean().prefault(false),
  ca_file: text.optional(),
  groups: z
    .strictObject({
      base: text.optional(),
      filter: parsed(value => parseFilter(value, ['dn', 'user'])).optional(),
      nested: z.boolean().prefault(false),
      member_of: z.boolean().prefault(false),
    })
    .prefault({}),
  stale_if_down: duration().prefault('15m'),
});

/** Reads the raw tree, so that a bad value elsewhere hides nothing. */
export function checkLdap(tree: unknown, findings: Findings): void {
  const ldap = valueAt(tree, at);
  if (!isSection(ldap)) return;
  if (ldap['url'] === undefined) findings.report(at, 'needs url, such as ldaps://ldap.lan');
  const groups = isSection(ldap['groups']) ? ldap['groups'] : {};
  const needs = (key: string, other: string, given: unknown = ldap[other]): void => {
    if (ldap[key] !== undefined && given === undefined) findings.report([...at, key], `needs ${other}`);
  };
  needs('bind_dn', 'bind_password_file');
  needs('bind_password_file', 'bind_dn');
  if (ldap['base'] === undefined && ldap['user_dn'] === undefined)
    findings.report(at, 'needs base, below which users are, or user_dn');
  if (ldap['user_dn'] !== undefined)
    for (const key of ['base', 'filter'])
      if (ldap[key] !== undefined)
        findings.report([...at, key], 'has no meaning beside user_dn: give one of the two');
  const urls: readonly unknown[] = Array.isArray(ldap['url']) ? ldap['url'] : [ldap['url']];
  if (ldap['start_tls'] === true && urls.some(url => typeof url === 'string' && /^ldaps:/i.test(url)))
    findings.report([...at, 'start_tls'], 'is for ldap:// alone; ldaps:// is encrypted from the start');
  checkGroups(groups, findings);
}

/** `access.ldap` is there: users can log in by it. `groups`: and rules can name its groups. */
export function ldapIn(tree: unknown): { readonly isGiven: boolean; readonly hasGroups: boolean } {
  const groups = valueAt(tree, [...at, 'groups', 'base']);
  return { isGiven: isSection(valueAt(tree, at)), hasGroups: groups !== undefined };
}

/** `texts`: of files by the formatted path of their key. Nothing can be wrong any more at this point. */
export function assembleLdap(
  ldap: z.output<typeof ldapSchema> | undefined,
  texts: ReadonlyMap<string, string>,
): LdapConfig | undefined {
  if (ldap?.url === undefined) return undefined;
  const { base, filter, user_dn: dn, bind_dn: bindDn, groups } = ldap;
  const password = texts.get(formatPath([...at, 'bind_password_file']));
  const ca = texts.get(formatPath([...at, 'ca_file']));
  const member = groups.nested ? `member:${matchingInChain}:` : 'member';
  return {
    urls: ldap.url,
    startTls: ldap.start_tls,
    ...(ca !== undefined && { ca }),
    users: dn === undefined ? { how: 'search', base: base ?? '', filter } : { how: 'direct', dn },
    ...(bindDn !== undefined && password !== undefined && { searcher: { dn: bindDn, password } }),
    ...(groups.base !== undefined && {
      groups: {
        base: groups.base,
        filter: groups.filter ?? `(${member}={dn})`,
        memberOf: groups.member_of,
      },
    }),
    staleIfDownMs: ldap.stale_if_down,
  };
}

/** Passwords cross the network in clear. */
export function warnAboutLdap({ ldap }: AccessConfig): readonly Remark[] {
  if (ldap === undefined || ldap.startTls) return [];
  const plain = ldap.urls.find(url => url.protocol === 'ldap:');
  if (plain === undefined) return [];
  const message = `${plain.href} sends passwords in clear; use ldaps:// or start_tls: true`;
  return [[[...at, 'url'], message]];
}

/** Active Directory's rule for members of members. */
const matchingInChain = '1.2.840.113556.1.4.1941';

function checkGroups(groups: Readonly<Record<string, unknown>>, findings: Findings): void {
  const path = [...at, 'groups'];
  if (Object.keys(groups).length > 0 && groups['base'] === undefined)
    findings.report(path, 'needs base, below which groups are');
  if (groups['member_of'] === true)
    for (const key of ['filter', 'nested'])
      if (groups[key] !== undefined && groups[key] !== false)
        findings.report([...path, key], 'has no meaning beside member_of: give one of the two');
  if (groups['nested'] === true && groups['filter'] !== undefined)
    findings.report([...path, 'nested'], 'changes the default filter alone; write the rule into filter');
}

function parseLdapUrl(value: unknown): URL {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  if (url !== undefined && (url.username !== '' || url.password !== ''))
    throw new ValueError('expected a URL without a user; they belong into bind_dn and bind_password_file');
  const isBare = url !== undefined && /^\/?$/.test(url.pathname) && url.search === '' && url.hash === '';
  if (url !== undefined && isBare && url.hostname !== '' && /^ldaps?:$/.test(url.protocol)) return url;
  throw refusal('a URL such as ldaps://ldap.lan or ldap://ldap.lan:389, without a path', value);
}

/** With balanced brackets, and at least one of the names in braces. */
function parseFilter(value: unknown, names: readonly string[]): string {
  const form = names.map(name => `{${name}}`).join(' or ');
  if (typeof value === 'string' && isBalanced(value) && names.some(name => value.includes(`{${name}}`)))
    return value;
  throw refusal(`an LDAP filter in brackets with ${form} in it`, value);
}

function isBalanced(filter: string): boolean {
  if (!/^\(.*\)$/s.test(filter)) return false;
  let depth = 0;
  for (const [index, character] of Array.from(filter).entries()) {
    if (character === '(') depth += 1;
    if (character === ')') depth -= 1;
    if (depth < 0 || (depth === 0 && index < filter.length - 1)) return false;
  }
  return depth === 0;
}

function parseUserDn(value: unknown): string {
  if (typeof value === 'string' && /^[A-Za-z][\w-]*=\{user\},.+$/.test(value)) return value;
  throw refusal('the name of an entry such as "uid={user},ou=people,dc=lan"', value);
}
