/** What the log says of a directory, and which of its groups are asked for. */
import { expect, test } from 'vitest';
import { openLdap } from '../../../../src/auth/identity/open-ldap.ts';
import { unusedPort } from '../../../support/ports.ts';

test('a directory that is away is one error in the log, which names the servers and no password', async () => {
  const lines: unknown[] = [];
  const tell = (level: string) => (message: string, fields: Readonly<Record<string, unknown>>) =>
    lines.push([level, message, { ...fields, error: String(fields['error']) }]);
  const users = openLdap({
    settings: {
      urls: [new URL(`ldap://127.0.0.1:${await unusedPort()}`)],
      startTls: false,
      users: { how: 'search', base: 'dc=lan', filter: '(uid={user})' },
      searcher: { dn: 'cn=x,dc=lan', password: 'planted-1' },
      staleIfDownMs: 0,
    },
    rules: [{ users: ['@team', 'alice', '@team'] }],
    logger: { error: tell('error'), warn: tell('warn'), info: tell('info') },
    now: () => 0,
  });
  for (const name of ['ann', 'bob'])
    expect(await users.check({ name, password: 'planted-2' }, '')).toBe('unavailable');
  expect(lines).toEqual([
    [
      'error',
      'cannot ask the LDAP directory: users who are not remembered cannot log in',
      { servers: [expect.stringMatching(/^ldap:/)], error: expect.stringContaining('ECONNREFUSED') },
    ],
  ]);
  expect(JSON.stringify(lines)).not.toContain('planted');
});
