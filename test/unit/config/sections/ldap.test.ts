/** The section `access.ldap`. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigFolder } from '../config-folder.ts';

let folder: ConfigFolder;
beforeEach(async () => {
  folder = await ConfigFolder.create();
  await folder.write('ldap.password', 'may search\n');
});
afterEach(() => folder.remove());

const searched = 'url: ldaps://ldap.lan, base: "ou=people,dc=lan"';

async function read(keys: string) {
  return folder.load(`access: { ldap: { ${keys} } }\n`);
}

describe('access.ldap', () => {
  it('is read with its defaults', async () => {
    const { config, warnings } = await read(searched);
    expect(warnings).toEqual([]);
    expect(config.access.ldap).toEqual({
      urls: [new URL('ldaps://ldap.lan')],
      startTls: false,
      users: { how: 'search', base: 'ou=people,dc=lan', filter: '(uid={user})' },
      staleIfDownMs: 900_000,
    });
  });

  it('takes a list of servers, an account that searches, and groups that rules then may name', async () => {
    const { config } = await folder.load(`access:
  ldap:
    url: [ldap://one.lan, "ldap://[::1]:3389"]
    start_tls: true
    base: "ou=people,dc=lan"
    filter: "(&(objectClass=person)(|(uid={user})(mail={user})))"
    bind_dn: "cn=cistern,dc=lan"
    bind_password_file: ldap.password
    groups: { base: "ou=groups,dc=lan", nested: true }
    stale_if_down: 1h
  rules:
    - { repositories: ["team/**"], users: ["@team one"], actions: [pull, push] }
`);
    expect(config.access.ldap).toMatchObject({
      urls: [new URL('ldap://one.lan'), new URL('ldap://[::1]:3389')],
      startTls: true,
      searcher: { dn: 'cn=cistern,dc=lan', password: 'may search' },
      groups: { base: 'ou=groups,dc=lan', filter: '(member:1.2.840.113556.1.4.1941:={dn})', memberOf: false },
      staleIfDownMs: 3_600_000,
    });
  });

  it('makes entries from names instead of searching', async () => {
    const { config } = await read('url: ldaps://ldap.lan, user_dn: "uid={user},ou=people,dc=lan"');
    expect(config.access.ldap?.users).toEqual({ how: 'direct', dn: 'uid={user},ou=people,dc=lan' });
  });

  it('warns where passwords cross the network in clear', async () => {
    const plain = 'url: [ldaps://a.lan, ldap://b.lan], base: "dc=lan"';
    expect((await read(plain)).warnings).toEqual([
      'mirror.yml:1:24: access.ldap.url: warning: ldap://b.lan sends passwords in clear; use ldaps:// or start_tls: true',
    ]);
    expect((await read('url: ldap://b.lan, base: "dc=lan", start_tls: true')).warnings).toEqual([]);
  });

  it.each([
    ['needs url', 'base: "dc=lan"'],
    ['needs base', 'url: ldaps://ldap.lan'],
    ['expected a URL such as ldaps://ldap.lan', 'url: https://ldap.lan, base: "dc=lan"'],
    ['without a path', 'url: "ldaps://ldap.lan/dc=lan", base: "dc=lan"'],
    ['expected a URL without a user', 'url: "ldaps://u:secret@ldap.lan", base: "dc=lan"'],
    ['expected an LDAP filter in brackets with {user} in it', `${searched}, filter: "(uid=*)"`],
    ['expected an LDAP filter in brackets', `${searched}, filter: "uid={user}"`],
    ['expected an LDAP filter in brackets', `${searched}, filter: "(uid={user})(a=b)"`],
    ['has no meaning beside user_dn', `${searched}, user_dn: "uid={user},dc=lan"`],
    ['expected the name of an entry', 'url: ldaps://ldap.lan, user_dn: "{user}"'],
    ['needs bind_password_file', `${searched}, bind_dn: "cn=x"`],
    ['needs bind_dn', `${searched}, bind_password_file: ldap.password`],
    ['nope: no such file', `${searched}, bind_dn: "cn=x", bind_password_file: nope`],
    ['nope: no such file', `${searched}, ca_file: nope`],
    ['is for ldap:// alone', `${searched}, start_tls: true`],
    ['groups: needs base', `${searched}, groups: { nested: true }`],
    ['with {dn} or {user} in it', `${searched}, groups: { base: "dc=lan", filter: "(member=x)" }`],
    ['beside member_of', `${searched}, groups: { base: "dc=lan", member_of: true, nested: true }`],
    [
      'default filter alone',
      `${searched}, groups: { base: "dc=lan", nested: true, filter: "(member={dn})" }`,
    ],
    ['unknown key', `${searched}, bind_password: x`],
  ])('a mistake stops the start: %s', async (problem, keys) => {
    const problems = (await folder.problems(`access: { ldap: { ${keys} } }\n`)).join('\n');
    expect(problems).toContain(problem);
    expect(problems).not.toContain('secret@');
  });
});
