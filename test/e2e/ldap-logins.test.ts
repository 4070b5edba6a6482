/**
 * A private registry with the logins of a directory: an image goes in and out by skopeo, and its tags are listed by curl, as in the many
 * guides that put Apache in front of a registry for that. Here the registry asks the directory itself.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CertificateAuthority } from '../support/certificates.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { writeLayout } from '../support/push-command.ts';
import { commandOutput, runCommand } from '../support/real/command.ts';
import { Directory } from '../support/real/slapd.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const { base, searcher, password } = Directory;

requires(
  'slapd',
  'openssl',
  'skopeo',
  'curl',
)('a private registry with the logins of a directory', () => {
  test('the group pushes, every user pulls and lists, and a wrong password is told at the login', async () => {
    const folder = await tempDir();
    const authority = new CertificateAuthority(folder);
    const directory = await Directory.start(folder, authority);
    const passwordFile = join(folder, 'ldap.password');
    await writeFile(passwordFile, password);
    const mirror = await startTestMirror({
      upstream: await startFakeUpstream(),
      config: {
        hosted: { repositories: ['team/**'] },
        access: {
          ldap: {
            url: directory.url,
            ca_file: authority.caFile,
            base: `ou=people,${base}`,
            bind_dn: searcher,
            bind_password_file: passwordFile,
            groups: { base: `ou=groups,${base}` },
          },
          rules: [
            { repositories: ['team/**'], users: ['@registry-push'], actions: ['pull', 'push'] },
            { repositories: ['team/**'], users: ['*'] },
          ],
        },
      },
    });
    const { host } = new URL(mirror.url);
    const logIn = async (user: string, secret: string, authFile: string): Promise<number> => {
      const own = ['--tls-verify=false', '--authfile', authFile, '-u', user, '-p', secret, host];
      return (await runCommand(['skopeo', 'login', ...own])).code;
    };
    const [bobFile, annFile] = [join(folder, 'bob.json'), join(folder, 'ann.json')];
    expect(await logIn('bob', 'pull', bobFile)).not.toBe(0);
    expect(await logIn('bob', '', bobFile)).not.toBe(0);
    expect(await logIn('bob', 'push', bobFile)).toBe(0);
    expect(await logIn('ann', 'pull', annFile)).toBe(0);

    const layout = await writeLayout({ latest: buildImage() });
    const image = `docker://${host}/team/alpine:3.6`;
    const push = (authFile: string): string[] =>
      ['skopeo', 'copy', '--dest-tls-verify=false', '--dest-authfile', authFile].concat([
        `oci:${layout}:latest`,
        image,
      ]);
    expect((await runCommand(push(annFile))).code).not.toBe(0);
    await commandOutput(push(bobFile));
    const pulled = ['--src-tls-verify=false', '--src-authfile', annFile, image, `dir:${join(folder, 'out')}`];
    await commandOutput(['skopeo', 'copy', ...pulled]);
    const curl = async (user: string, path: string): Promise<unknown> =>
      JSON.parse(await commandOutput(['curl', '--silent', '--user', user, `${mirror.url}${path}`]));
    expect(await curl('ann:pull', '/v2/_catalog')).toEqual({ repositories: ['team/alpine'] });
    expect(await curl('ann:pull', '/v2/team/alpine/tags/list')).toEqual({
      name: 'team/alpine',
      tags: ['3.6'],
    });
  });
});
