/**
 * Logins against Debian's slapd: what reaches the server, who is found, and what happens without it. A TCP relay in front of it counts
 * connections and bytes, and slapd's own log the questions.
 */
import { expect, onTestFinished, test } from 'vitest';
import { LdapUsers, type LdapUsersOptions } from '../../src/auth/identity/ldap.ts';
import type { LdapDirectory } from '../../src/auth/identity/ldap-lookup.ts';
import { CertificateAuthority } from '../support/certificates.ts';
import { startCuttingProxy } from '../support/cutting-proxy.ts';
import { unusedPort } from '../support/ports.ts';
import {
  Directory,
  type DirectoryOptions,
  groupLdif,
  manyGroups,
  personLdif,
} from '../support/real/slapd.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';

const { base, searcher, password } = Directory;
const groups = { base: `ou=groups,${base}`, filter: '(member={dn})', memberOf: false };
const ann = { name: 'ann', password: 'pull' };
const bob = { name: 'bob', password: 'push' };
const annIdentity = { user: 'ann', groups: [] };
const bobIdentity = { user: 'bob', groups: ['registry-push'] };
const minute = 60_000;

interface SetUp {
  readonly slapd?: DirectoryOptions;
  /** Instead of those of slapd. */
  readonly urls?: readonly string[];
  /** By ldap instead of ldaps, with StartTLS or without. */
  readonly plain?: 'StartTLS' | 'clear';
  /** PEM, instead of the right one. */
  readonly ca?: string;
  /** There is an account that searches; true if left out. */
  readonly searches?: boolean;
  readonly directory?: Partial<LdapDirectory>;
  readonly users?: Partial<LdapUsersOptions>;
}

async function setUp({ slapd, urls, plain, ca, searches = true, directory, users }: SetUp = {}) {
  const folder = await tempDir();
  const authority = new CertificateAuthority(folder);
  const server = await Directory.start(folder, authority, { ...slapd, plain: plain !== undefined });
  const target = new URL(plain === undefined ? server.url : server.plainUrl);
  const relay = await startCuttingProxy(Number(target.port), []);
  const clock = { ms: 1_000_000 };
  const events: string[] = [];
  const options: LdapUsersOptions = {
    servers: (urls ?? [`${target.protocol}//127.0.0.1:${relay.port}`]).map(url => ({
      url: new URL(url.replace('RELAY', String(relay.port))),
      startTls: plain === 'StartTLS',
      ca: ca ?? authority.caPem,
    })),
    directory: {
      users: { how: 'search', base: `ou=people,${base}`, filter: '(uid={user})' },
      ...(searches && { searcher: { dn: searcher, password } }),
      groups,
      groupNames: ['registry-push', 'other'],
      ...directory,
    },
    staleIfDownMs: 15 * minute,
    now: () => clock.ms,
    onTrouble: error => events.push(String(error)),
    onRecovered: () => events.push('recovered'),
    onAmbiguous: name => events.push(`ambiguous ${name}`),
    ...users,
  };
  const found = new LdapUsers(options);
  onTestFinished(() => found.close());
  /** Without how long it may be remembered. */
  const check: LdapUsers['check'] = async (credentials, address) => {
    const answer = await found.check(credentials, address);
    return typeof answer === 'object' ? { user: answer.user, groups: answer.groups } : answer;
  };
  return { server, relay, clock, events, users: { check }, found };
}

/** `BIND` and the name, or `SRCH` and the filter, in order. */
function questionsOf(server: Directory): string[] {
  const dns = server.operations.flatMap(line => {
    const [, dn] = / BIND dn="([^"]*)" method/.exec(line) ?? [];
    const [, filter] = / SRCH base=.* filter="(.*)"$/.exec(line) ?? [];
    if (dn !== undefined) return [`BIND ${dn}`];
    return filter === undefined ? [] : [`SRCH ${filter}`];
  });
  return dns.map(line => line.replaceAll(`,${base}`, ''));
}

requires('slapd', 'openssl')('users of a directory', () => {
  test('are found by search, and one search finds those of their groups that rules name', async () => {
    const { server, users } = await setUp();
    expect(await users.check(ann, '')).toEqual(annIdentity);
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    expect(await users.check({ name: 'bob', password: 'pull' }, '')).toBe('wrong');
    expect(await users.check({ name: 'carl', password: 'x' }, '')).toBeUndefined();
    await expect
      .poll(() => questionsOf(server))
      .toEqual([
        'BIND cn=registry',
        'SRCH (uid=ann)',
        'BIND uid=ann,ou=people',
        'BIND cn=registry',
        'SRCH (&(member=uid=ann,ou=people)(|(cn=registry-push)(cn=other)))',
        'SRCH (uid=bob)',
        'BIND uid=bob,ou=people',
        'BIND cn=registry',
        'SRCH (&(member=uid=bob,ou=people)(|(cn=registry-push)(cn=other)))',
        'SRCH (uid=bob)',
        'BIND uid=bob,ou=people',
        'BIND cn=registry',
        'SRCH (uid=carl)',
        'BIND cn=absent,ou=people',
      ]);
  });

  test('are remembered for five minutes with their groups, by a password that was right', async () => {
    const { server, clock, users } = await setUp();
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    const asked = questionsOf(server).length;
    clock.ms += 5 * minute - 1;
    expect(await users.check(bob, 'elsewhere')).toEqual(bobIdentity);
    expect(questionsOf(server)).toHaveLength(asked);
    expect(await users.check({ name: 'bob', password: 'pull' }, '')).toBe('wrong');
    clock.ms += 1;
    const before = questionsOf(server).length;
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    await expect.poll(() => questionsOf(server).length).toBeGreaterThan(before);
  });

  test('in 200 of 5,000 groups cost one search, which brings those of them that rules name', async () => {
    const { server, users } = await setUp({
      slapd: manyGroups(),
      directory: { groupNames: ['group-0', 'group-1', 'group-25', 'group-4975', 'Group-50'] },
    });
    const found = await users.check(bob, '');
    expect(found).toEqual({ user: 'bob', groups: ['group-0', 'group-25', 'group-4975', 'Group-50'] });
    const searches = questionsOf(server).filter(line => line.startsWith('SRCH'));
    expect(searches).toEqual(['SRCH (uid=bob)', expect.stringMatching(/^SRCH \(&\(member=uid=bob,/)]);
  });

  test('are one user however the name is typed, and never that of another provider', async () => {
    const { users } = await setUp({ users: { isTaken: async name => name === 'ann' } });
    expect(await users.check({ name: ' BOB ', password: 'push' }, '')).toEqual(bobIdentity);
    expect(await users.check({ name: 'ANN', password: 'pull' }, '')).toBe('wrong');
    expect(await users.check(ann, '')).toEqual(annIdentity);
  });

  test('log in with the name of their entry, which is written so that no name leads elsewhere', async () => {
    const { server, users } = await setUp({
      directory: { users: { how: 'direct', dn: `uid={user},ou=people,${base}` } },
    });
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    expect(await users.check({ name: 'BOB', password: 'push' }, '')).toEqual(bobIdentity);
    expect(await users.check({ name: 'carl', password: 'x' }, '')).toBe('wrong');
    expect(await users.check({ name: `x,${searcher}`, password }, '')).toBe('wrong');
    expect(await users.check({ name: 'bob,ou=people', password: 'push' }, '')).toBe('wrong');
    expect(questionsOf(server).filter(line => line.startsWith('SRCH (&'))).toHaveLength(2);
  });

  test('read their groups themselves where no account searches, or have them in memberOf', async () => {
    const memberOf = `memberOf: cn=registry-push,ou=groups,${base}\nmemberOf: cn=other,ou=elsewhere,${base}`;
    const { server, users } = await setUp({
      slapd: {
        ldif: personLdif('dora', 'in', [memberOf]) + groupLdif('other', ['ann']),
        access: 'access to attrs=userPassword by anonymous auth by * none\naccess to * by users read',
      },
      directory: {
        users: { how: 'direct', dn: `uid={user},ou=people,${base}` },
        searcher: undefined,
      } as never,
    });
    expect(await users.check(ann, '')).toEqual({ user: 'ann', groups: ['other'] });
    expect(questionsOf(server).at(0)).toBe('BIND uid=ann,ou=people');
    const own = await setUp({
      slapd: { ldif: personLdif('dora', 'in', [memberOf]) },
      directory: { groups: { ...groups, memberOf: true } },
    });
    const dora = { name: 'dora', password: 'in' };
    expect(await own.users.check(dora, '')).toEqual({ user: 'dora', groups: ['registry-push'] });
    expect(questionsOf(own.server).filter(line => line.includes('member'))).toEqual([]);
  });

  test('are never two: a filter that finds more than one entry lets none of them in', async () => {
    const { events, server, users } = await setUp({
      slapd: {
        ldif:
          personLdif('bobby', 'push', ['employeeNumber: 7']) +
          personLdif('rob', 'push', ['employeeNumber: 7']),
      },
      directory: {
        users: { how: 'search', base: `ou=people,${base}`, filter: '(|(uid={user})(employeeNumber={user}))' },
      },
    });
    expect(await users.check({ name: '7', password: 'push' }, '')).toBe('wrong');
    expect(events).toEqual(['ambiguous 7']);
    expect(questionsOf(server).filter(line => line.includes('BIND uid='))).toEqual([]);
    expect(await users.check({ name: 'bobby', password: 'push' }, '')).toMatchObject({ user: 'bobby' });
  });

  test('are not found by names that are filters', async () => {
    const { server, users } = await setUp();
    for (const name of ['*)(uid=*', '*', 'b*', 'bob)(|(uid=*', 'bob\\2a', '(uid=bob)', 'bob)(&'])
      expect(await users.check({ name, password: 'push' }, ''), name).toBeUndefined();
    expect(questionsOf(server).filter(line => line.includes('BIND uid='))).toEqual([]);
    expect(await users.check({ name: '\0', password: 'push' }, '')).toBeUndefined();
  });

  test('have a password: without one not a byte reaches the server, and it would have let them in', async () => {
    const { relay, users } = await setUp();
    for (const name of ['bob', 'carl', ''])
      expect(await users.check({ name, password: '' }, '')).toBe('wrong');
    expect(await users.check({ name: ' ', password: 'x' }, '')).toBeUndefined();
    expect(relay.upBytes).toBe(0);
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    expect(relay.upBytes).toBeGreaterThan(0);
  });
});

requires('slapd', 'openssl')('the way to the directory', () => {
  test('is encrypted by StartTLS before anything is said, and a server that cannot is not used', async () => {
    const { server, users } = await setUp({ plain: 'StartTLS' });
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    const lines = server.operations;
    expect(lines.findIndex(line => line.includes('1.3.6.1.4.1.1466.20037'))).toBe(0);
    const without = await setUp({ plain: 'StartTLS', slapd: { withoutTls: true } });
    expect(await without.users.check(bob, '')).toBe('unavailable');
    expect(questionsOf(without.server)).toEqual([]);
  });

  test('ends at a certificate of another authority, and no password is sent', async () => {
    for (const plain of [undefined, 'StartTLS'] as const) {
      const other = new CertificateAuthority(await tempDir());
      const { server, users, events } = await setUp({ ca: other.caPem, ...(plain && { plain }) });
      expect(await users.check(bob, '')).toBe('unavailable');
      expect(events).toEqual([expect.stringMatching(/certificate|signature/)]);
      expect(questionsOf(server)).toEqual([]);
    }
  });

  test('is not a secret in what is logged', async () => {
    const { users, events } = await setUp({
      directory: { searcher: { dn: searcher, password: 'planted-secret' } },
    });
    expect(await users.check({ name: 'bob', password: 'planted-too' }, '')).toBe('unavailable');
    expect(events).toEqual(['SearcherRefused: the directory refuses bind_dn and its password']);
  });

  test('leads to the next server when the first cannot be reached', async () => {
    const { users, events } = await setUp({
      urls: [`ldaps://127.0.0.1:${await unusedPort()}`, 'ldaps://127.0.0.1:RELAY'],
    });
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    expect(events).toEqual([]);
  });

  test('is found anew when the server has closed it in between', async () => {
    const { server, users, events } = await setUp({ plain: 'StartTLS' });
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    await server.stop();
    await server.run();
    expect(await users.check(ann, '')).toEqual(annIdentity);
    expect(questionsOf(server)[0]).toBe('BIND cn=registry');
    expect(server.operations[0]).toContain('1.3.6.1.4.1.1466.20037');
    expect(events).toEqual([]);
  });

  test('is four connections at most, however many log in', async () => {
    const { server, relay, users } = await setUp();
    const names = Array.from({ length: 30 }, (_, at) => `user${at}`);
    await Promise.all(names.map(name => users.check({ name, password: 'x' }, name)));
    expect(relay.connections).toBeLessThanOrEqual(4);
    expect(questionsOf(server).filter(line => line.startsWith('SRCH'))).toHaveLength(30);
  });
});

requires('slapd', 'openssl')('without the directory', () => {
  test('those who are remembered go on for stale_if_down, others are neither right nor wrong', async () => {
    const { server, clock, events, users } = await setUp();
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    await server.stop();
    clock.ms += 5 * minute;
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    expect(await users.check({ name: 'bob', password: 'wrong' }, '')).toBe('unavailable');
    expect(await users.check(ann, '')).toBe('unavailable');
    clock.ms += 10 * minute - 1;
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    clock.ms += 1;
    expect(await users.check(bob, '')).toBe('unavailable');
    expect(events).toHaveLength(1);
    await server.run();
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    expect(events[1]).toBe('recovered');
  });

  test('a user is not remembered by others for longer than by the directory', async () => {
    const { server, clock, found } = await setUp();
    const rememberMs = async () => ((await found.check(bob, '')) as { rememberMs?: number }).rememberMs;
    expect(await rememberMs()).toBe(5 * minute);
    clock.ms += minute;
    expect(await rememberMs()).toBe(4 * minute);
    await server.stop();
    clock.ms += 4 * minute;
    expect(await rememberMs()).toBe(5000);
    clock.ms += 10 * minute - 1;
    expect(await rememberMs()).toBe(1);
  });

  test('nothing waits longer than the deadline, and those who are remembered not at all', async () => {
    const { server, clock, users, relay } = await setUp({ users: { deadlineMs: 300 } });
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    server.hang();
    clock.ms += 5 * minute;
    expect(await users.check(ann, '')).toBe('unavailable');
    const { upBytes } = relay;
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    expect(relay.upBytes).toBe(upBytes);
  });

  test('a password that was refused in between is not remembered', async () => {
    const { server, clock, users } = await setUp();
    expect(await users.check(bob, '')).toEqual(bobIdentity);
    clock.ms += 5 * minute;
    await server.change(
      `dn: uid=bob,ou=people,${base}\nchangetype: modify\nreplace: userPassword\nuserPassword: new\n`,
    );
    expect(await users.check(bob, '')).toBe('wrong');
    await server.stop();
    expect(await users.check(bob, '')).toBe('unavailable');
  });
});
