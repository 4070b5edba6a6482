/**
 * What a directory says about a name and a password, over one connection: who it is, whether the password is right, and which of the
 * groups that rules name it is in. Two entries for one name are no user.
 */
import type { Credentials } from './credentials.ts';
import type { Identity } from './identity-provider.ts';
import { codeOf, type LdapConnection, type LdapEntry } from './ldap-connection.ts';
import {
  attributeOfUser,
  escapeDnValue,
  escapeFilterValue,
  fillTemplate,
  isWithin,
  normalizeName,
  parseDn,
} from './ldap-text.ts';

/** Templates hold `{user}`, that of groups `{user}` or `{dn}`. */
export interface LdapDirectory {
  /** `search`: the entry is looked for below `base`. `direct`: its name is made from the user's. */
  readonly users:
    | { readonly how: 'search'; readonly base: string; readonly filter: string }
    | { readonly how: 'direct'; readonly dn: string };
  /** Who searches. Absent: without a login, or with `direct` as the user. */
  readonly searcher?: { readonly dn: string; readonly password: string };
  /** Absent: users have no groups. */
  readonly groups?: {
    readonly base: string;
    readonly filter: string;
    /** From `memberOf` of the user's entry, as far as they are below `base`. */
    readonly memberOf: boolean;
  };
  /** Those that rules name, without `@`. */
  readonly groupNames: readonly string[];
}

/** `ambiguous`: two entries have that name. Undefined: none has it. */
export type DirectoryAnswer = Identity | 'wrong' | 'ambiguous' | undefined;

/** The account that searches is refused: no fault of the user's. */
class SearcherRefused extends Error {
  override readonly name = 'SearcherRefused';
}

/** Errors: those of the connection; `SearcherRefused`. */
export async function askDirectory(
  directory: LdapDirectory,
  credentials: Credentials,
  connection: LdapConnection,
  signal: AbortSignal,
): Promise<DirectoryAnswer> {
  const { users } = directory;
  return users.how === 'search'
    ? await bySearch(directory, users, credentials, connection, signal)
    : await byName(directory, users, credentials, connection, signal);
}

async function bySearch(
  directory: LdapDirectory,
  users: { readonly base: string; readonly filter: string },
  { name, password }: Credentials,
  connection: LdapConnection,
  signal: AbortSignal,
): Promise<DirectoryAnswer> {
  await bindSearcher(directory, connection, signal);
  const attribute = attributeOfUser(users.filter);
  const filter = fillTemplate(users.filter, { user: name }, escapeFilterValue);
  const attributes = attributesOf(directory, attribute);
  const search = { base: users.base, scope: 'sub' as const, filter, attributes, maxEntries: 2 };
  const [entry, second] = await connection.search(search, signal);
  if (entry === undefined || second !== undefined || !entry.dn.includes('=')) {
    // As many questions as for a user: time doesn't tell which names there are. The password may be one of another registry.
    await connection.bind(`cn=absent,${users.base}`, 'absent', signal);
    return second === undefined ? undefined : 'ambiguous';
  }
  if (!(await connection.bind(entry.dn, password, signal))) return 'wrong';
  const user = userNameIn(entry, attribute, name);
  return { user, groups: await groupsOf(directory, { entry, user }, connection, signal) };
}

/** There is no question whether the name exists, so a wrong name is a wrong password. */
async function byName(
  directory: LdapDirectory,
  users: { readonly dn: string },
  { name, password }: Credentials,
  connection: LdapConnection,
  signal: AbortSignal,
): Promise<Identity | 'wrong'> {
  const dn = fillTemplate(users.dn, { user: name }, escapeDnValue);
  if (!(await connection.bind(dn, password, signal))) return 'wrong';
  const attribute = attributeOfUser(users.dn);
  const entry = await readEntry(dn, attributesOf(directory, attribute), connection, signal);
  const user = userNameIn(entry, attribute, name);
  return { user, groups: await groupsOf(directory, { entry, user }, connection, signal) };
}

/** The user's own entry, read as that user. Not everywhere may users read it. */
async function readEntry(
  dn: string,
  attributes: readonly string[],
  connection: LdapConnection,
  signal: AbortSignal,
): Promise<LdapEntry> {
  const search = { base: dn, scope: 'base' as const, filter: '(objectClass=*)', attributes };
  try {
    const [entry] = await connection.search(search, signal);
    return entry ?? { dn, values: new Map() };
  } catch (error) {
    if (Number.isNaN(codeOf(error))) throw error;
    return { dn, values: new Map() };
  }
}

/**
 * As the directory spells it, because it finds `BOB` for `bob` and rules don't. Where it doesn't say, in small letters: one user has one
 * name, however it is typed.
 */
function userNameIn({ values }: LdapEntry, attribute: string | undefined, typed: string): string {
  const spelled = values.get(attribute?.toLowerCase() ?? '') ?? [];
  const wanted = normalizeName(typed);
  return spelled.find(value => normalizeName(value) === wanted) ?? spelled[0] ?? wanted;
}

function attributesOf({ groups, groupNames }: LdapDirectory, attribute: string | undefined): string[] {
  const names = [attribute ?? '1.1'];
  if (groups?.memberOf === true && groupNames.length > 0) names.push('memberOf');
  return names;
}

async function groupsOf(
  directory: LdapDirectory,
  { entry, user }: { readonly entry: LdapEntry; readonly user: string },
  connection: LdapConnection,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const { groups, groupNames, users } = directory;
  if (groups === undefined || groupNames.length === 0) return [];
  if (groups.memberOf) {
    const within = (entry.values.get('memberof') ?? []).filter(dn => isWithin(dn, groups.base));
    const names = within.map(dn => parseDn(dn)[0]).filter(first => first?.[0] === 'cn');
    return matching(groupNames, new Set(names.map(first => first?.[1] ?? '')));
  }
  if (users.how === 'search' || directory.searcher !== undefined)
    await bindSearcher(directory, connection, signal);
  const search = {
    base: groups.base,
    scope: 'sub' as const,
    filter: groupFilter(groups.filter, groupNames, { dn: entry.dn, user }),
    attributes: ['cn'],
  };
  const found = await connection.search(search, signal);
  return matching(
    groupNames,
    new Set(found.flatMap(group => (group.values.get('cn') ?? []).map(normalizeName))),
  );
}

/** `(&(member=DN)(|(cn=a)(cn=b)))`: one question, whatever the number of groups. */
export function groupFilter(
  template: string,
  names: readonly string[],
  values: { readonly dn: string; readonly user: string },
): string {
  const wanted = names.map(name => `(cn=${escapeFilterValue(name)})`).join('');
  return `(&${fillTemplate(template, values, escapeFilterValue)}(|${wanted}))`;
}

function matching(names: readonly string[], normalized: ReadonlySet<string>): readonly string[] {
  return names.filter(name => normalized.has(normalizeName(name)));
}

async function bindSearcher(
  { searcher }: LdapDirectory,
  connection: LdapConnection,
  signal: AbortSignal,
): Promise<void> {
  const { dn, password } = searcher ?? { dn: '', password: '' };
  if (connection.boundAs === dn) return;
  if (!(await connection.bind(dn, password, signal)))
    throw new SearcherRefused(
      dn === '' ? 'the directory wants bind_dn' : 'the directory refuses bind_dn and its password',
    );
}
