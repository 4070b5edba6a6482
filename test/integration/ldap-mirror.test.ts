/** A registry whose users are those of a directory: pushes by a group, pulls by every user, and 503 instead of 401 without it. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CertificateAuthority } from '../support/certificates.ts';
import { get, request } from '../support/client.ts';
import { startTestMirror } from '../support/mirror.ts';
import { Directory, groupLdif } from '../support/real/slapd.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const minute = 60_000;
const { base, searcher, password } = Directory;

async function setUp({ htpasswd = '' } = {}) {
  const folder = await tempDir();
  const authority = new CertificateAuthority(folder);
  const directory = await Directory.start(folder, authority, { ldif: groupLdif('not in rules', ['ann']) });
  const passwordFile = join(folder, 'ldap.password');
  await writeFile(passwordFile, `${password}\n`);
  await writeFile(join(folder, 'htpasswd'), htpasswd);
  const clock = { ms: Date.now() };
  const mirror = await startTestMirror({
    upstream: await startFakeUpstream(),
    now: () => clock.ms,
    config: {
      hosted: { repositories: ['team/**'] },
      access: {
        htpasswd: join(folder, 'htpasswd'),
        ldap: {
          url: directory.url,
          base: `ou=people,${base}`,
          bind_dn: searcher,
          bind_password_file: passwordFile,
          ca_file: authority.caFile,
          groups: { base: `ou=groups,${base}` },
        },
        rules: [
          { repositories: ['team/**'], users: ['@registry-push'], actions: ['pull', 'push'] },
          { repositories: ['team/**'], users: ['*'] },
        ],
      },
    },
  });
  const ping = async (user: string, secret: string): Promise<number> =>
    (await get(mirror.url, '/v2/', { headers: login(user, secret) })).status;
  const push = async (headers: Record<string, string>): Promise<number> =>
    (await request(mirror.url, { method: 'POST', path: '/v2/team/app/blobs/uploads/', headers }).done).status;
  return { directory, mirror, clock, ping, push };
}

function login(user: string, secret: string): Record<string, string> {
  return { Authorization: `Basic ${Buffer.from(`${user}:${secret}`).toString('base64')}` };
}

requires('slapd', 'openssl')('a registry with the users of a directory', () => {
  test('takes pushes of the group that rules name, with a password or a token, and of no other user', async () => {
    const { mirror, ping, push } = await setUp();
    expect(await ping('bob', 'push')).toBe(200);
    expect(await ping('bob', 'pull')).toBe(401);
    expect(await ping('*)(uid=*', 'push')).toBe(401);
    expect(await ping('bob', '')).toBe(401);
    expect(await push(login('bob', 'push'))).toBe(202);
    expect(await push(login('ann', 'pull'))).toBe(403);
    expect(await push({})).toBe(401);
    for (const [user, secret, status] of [
      ['bob', 'push', 202],
      ['ann', 'pull', 403],
    ] as const) {
      const path = '/token?service=cistern&scope=repository:team/app:pull,push';
      const { status: answered, body } = await get(mirror.url, path, { headers: login(user, secret) });
      expect(answered).toBe(200);
      const { token } = JSON.parse(body.toString()) as { token: string };
      expect(await push({ Authorization: `Bearer ${token}` })).toBe(status);
    }
    const log = JSON.stringify(mirror.log);
    for (const secret of [password, '"pull"', '"push"', 'Basic ']) expect(log).not.toContain(secret);
  });

  test('answers 503 without the directory, never 401, and goes on for those who were in', async () => {
    const { directory, mirror, clock, ping, push } = await setUp();
    expect(await ping('bob', 'push')).toBe(200);
    await directory.stop();
    clock.ms += 6 * minute;
    expect(await ping('ann', 'pull')).toBe(503);
    expect(await ping('nobody', 'x')).toBe(503);
    expect(await push(login('bob', 'push'))).toBe(202);
    clock.ms += 9 * minute;
    expect(await ping('bob', 'push')).toBe(503);
    const troubles = mirror.log.filter(({ msg }) => String(msg).startsWith('cannot ask the LDAP directory'));
    expect(troubles).toHaveLength(1);
    expect(await mirror.metric('cistern_logins_total{source="ldap",result="unavailable"}')).toBeGreaterThan(
      0,
    );
    await directory.run();
    expect(await ping('ann', 'pull')).toBe(200);
  });

  test('asks htpasswd first for the names that it has, however they are typed', async () => {
    const { directory, ping, push } = await setUp({ htpasswd: 'ann:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n' });
    expect(await ping('ann', 'test')).toBe(200);
    expect(await ping('ann', 'pull')).toBe(401);
    expect(directory.operations).toEqual([]);
    expect(await ping('ANN', 'pull')).toBe(401);
    expect(await push(login('ann', 'test'))).toBe(403);
  });
});
