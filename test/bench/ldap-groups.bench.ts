/**
 * A login of a user who is in 200 of 5,000 groups of a directory, with rules that name 50 groups: all that is asked of slapd, and the one
 * search for groups alone. It may take 300 ms.
 */
import { expect, onTestFinished, test } from 'vitest';
import { LdapUsers } from '../../src/auth/identity/ldap.ts';
import { LdapConnection } from '../../src/auth/identity/ldap-connection.ts';
import { groupFilter } from '../../src/auth/identity/ldap-lookup.ts';
import { CertificateAuthority } from '../support/certificates.ts';
import { Directory, manyGroups } from '../support/real/slapd.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { Samples, Table } from './report.ts';

const rounds = 20;
const { base, searcher, password } = Directory;
/** Every fifth of the groups up to 250: bob is in ten of them. */
const groupNames = Array.from({ length: 50 }, (_, at) => `group-${at * 5}`);

requires('slapd', 'openssl')('logins of a directory', () => {
  test.each([
    ['indexed', manyGroups()],
    ['without an index', { ...manyGroups(), lines: [] }],
  ])('5,000 groups, %s', async (title, options) => {
    const authority = new CertificateAuthority(await tempDir());
    const server = await Directory.start(await tempDir(), authority, options);
    const clock = { ms: 0 };
    const servers = [{ url: new URL(server.url), startTls: false, ca: authority.caPem }];
    const users = new LdapUsers({
      servers,
      directory: {
        users: { how: 'search', base: `ou=people,${base}`, filter: '(uid={user})' },
        searcher: { dn: searcher, password },
        groups: { base: `ou=groups,${base}`, filter: '(member={dn})', memberOf: false },
        groupNames,
      },
      staleIfDownMs: 0,
      now: () => clock.ms,
      onTrouble: () => {},
      onRecovered: () => {},
      onAmbiguous: () => {},
    });
    onTestFinished(() => users.close());
    const signal = AbortSignal.timeout(60_000);
    const [first] = servers;
    if (first === undefined) return;
    const connection = await LdapConnection.open(first, signal);
    onTestFinished(() => connection.close());
    await connection.bind(searcher, password, signal);
    const values = { dn: `uid=bob,ou=people,${base}`, user: 'bob' };
    const filter = groupFilter('(member={dn})', groupNames, values);
    const search = { base: `ou=groups,${base}`, scope: 'sub', filter, attributes: ['cn'] } as const;
    const table = new Table('a user in 200 of 5,000 groups, 50 of them named by rules', {
      'login ms': 1,
      'search for groups ms': 1,
    });
    const searches = new Samples();
    for (let round = 0; round < rounds; round += 1) {
      clock.ms += 600_000; // nothing is remembered
      const startedAt = performance.now();
      expect(await users.check({ name: 'bob', password: 'push' }, '')).toMatchObject({ user: 'bob' });
      const searchedAt = performance.now();
      expect(await connection.search(search, signal)).toHaveLength(10);
      const endedAt = performance.now();
      searches.add(endedAt - searchedAt);
      table.add(title, { 'login ms': searchedAt - startedAt, 'search for groups ms': endedAt - searchedAt });
    }
    table.print();
    expect(searches.median).toBeLessThanOrEqual(300);
  });
});
