/** Real clients log in with right and wrong passwords, push, and pull what is private; and their credentials of another registry do no harm. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { buildImage } from '../support/images.ts';
import { type LoginRig, startLoginRig } from '../support/login-rig.ts';
import { writeLayout } from '../support/push-command.ts';
import { clientEnvironment, prepareFolder } from '../support/real/client.ts';
import { Dockerd } from '../support/real/dockerd.ts';
import { host, runIn } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';

interface Client extends LoginRig {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  readonly folder: string;
  /** Exit code, and what it printed. */
  run(...argv: readonly string[]): Promise<{ readonly code: number; readonly text: string }>;
}

async function start(): Promise<Client> {
  const rig = await startLoginRig({ users: ['alice'] });
  const folder = await tempDir();
  const options = { folder, place: host, mirror: rig.mirror.url };
  await prepareFolder(options);
  const env = { ...clientEnvironment(options), REGISTRY_AUTH_FILE: join(folder, 'auth.json') };
  return {
    ...rig,
    folder,
    address: new URL(rig.mirror.url).host,
    run: async (...argv) => {
      const { code, stdout, stderr } = await runIn(host, argv, { env });
      return { code: code ?? -1, text: `${stdout}${stderr}` };
    },
  };
}

function wrongAnswers({ mirror }: LoginRig): number {
  return mirror.log.filter(({ msg }) => msg === 'login failed').length;
}

requires('skopeo')('skopeo', () => {
  test('logs in, pushes and pulls; a wrong password fails; credentials of Docker Hub pull what is public', async () => {
    const client = await start();
    const { address, run, folder, upstream } = client;
    const image = buildImage();
    upstream.put('library/alpine', image, 'latest');
    const layout = await writeLayout({ latest: image });
    const target = `docker://${address}/team/app:1`;
    const push = ['skopeo', '--insecure-policy', 'copy', '--preserve-digests', '--dest-tls-verify=false'];
    const pull = ['skopeo', '--insecure-policy', 'copy', '--preserve-digests', '--src-tls-verify=false'];
    const login = ['skopeo', 'login', '--tls-verify=false', '--username', 'alice', '--password'];

    expect((await run(...push, `oci:${layout}:latest`, target)).code).not.toBe(0);
    const wrong = await run(...login, 'wrong', address);
    expect([wrong.code, wrong.text]).toEqual([
      1,
      expect.stringMatching(/invalid username\/password|unauthorized/),
    ]);
    expect(wrongAnswers(client)).toBe(1);
    expect(await run(...login, "alice's", address)).toEqual({
      code: 0,
      text: expect.stringContaining('Succeeded'),
    });
    const pushed = await run(...push, `oci:${layout}:latest`, target);
    expect(pushed.code, pushed.text).toBe(0);
    const pulled = await run(...pull, target, `dir:${join(folder, 'private')}`);
    expect(pulled.code, pulled.text).toBe(0);

    const anonymous = await run(...pull, '--src-no-creds', target, `dir:${join(folder, 'none')}`);
    expect([anonymous.code, anonymous.text]).toEqual([
      1,
      expect.stringMatching(/authentication required|unauthorized|denied/),
    ]);
    const source = `docker://${address}/docker.io/library/alpine:latest`;
    const hub = await run(
      ...pull,
      '--src-creds',
      'hubuser:hub-password',
      source,
      `dir:${join(folder, 'public')}`,
    );
    expect(hub.code, hub.text).toBe(0);
    const open = await run(...pull, '--src-no-creds', source, `dir:${join(folder, 'open')}`);
    expect(open.code, open.text).toBe(0);
    expect(wrongAnswers(client)).toBe(1);
  }, 60_000);
});

requires('podman')('podman', () => {
  test('logs in with the right password, and says that the wrong one is wrong', async () => {
    const client = await start();
    const { address, run } = client;
    const login = ['podman', 'login', '--tls-verify=false', '--username', 'alice', '--password'];
    const wrong = await run(...login, 'wrong', address);
    expect([wrong.code, wrong.text]).toEqual([125, expect.stringContaining('invalid username/password')]);
    expect(await run(...login, "alice's", address)).toEqual({
      code: 0,
      text: expect.stringContaining('Succeeded'),
    });
  }, 60_000);
});

requires('root', 'dockerd')('docker', () => {
  test('logs in, pushes and pulls what is private; a wrong password fails', async () => {
    const client = await start();
    const { address, run, folder, mirror } = client;
    const daemonFolder = join(folder, 'd');
    await mkdir(daemonFolder);
    const daemon = await Dockerd.start({ folder: daemonFolder, place: host, mirror: mirror.url });
    onTestFinished(() => daemon.close());
    const docker = ['docker', '--host', `unix://${join(daemonFolder, 'd.sock')}`];
    const image = `${address}/team/app:1`;
    await writeFile(join(folder, 'layer.tar'), Buffer.alloc(10_240)); // the end of a tar file, and nothing before it
    expect(await run(...docker, 'import', join(folder, 'layer.tar'), image)).toMatchObject({ code: 0 });

    const refused = await run(...docker, 'push', image);
    expect([refused.code, refused.text]).toEqual([
      1,
      expect.stringMatching(/denied|unauthorized|authentication required|no basic auth/),
    ]);
    const wrong = await run(...docker, 'login', '--username', 'alice', '--password', 'wrong', address);
    expect([wrong.code, wrong.text]).toEqual([1, expect.stringContaining('wrong user name or password')]);
    const right = await run(...docker, 'login', '--username', 'alice', '--password', "alice's", address);
    expect(right).toEqual({ code: 0, text: expect.stringContaining('Login Succeeded') });
    const pushed = await run(...docker, 'push', image);
    expect(pushed.code, pushed.text).toBe(0);
    await run(...docker, 'image', 'rm', image);
    const pulled = await run(...docker, 'pull', image);
    expect(pulled.code, pulled.text).toBe(0);
    expect(wrongAnswers(client)).toBe(1);
  }, 60_000);
});
