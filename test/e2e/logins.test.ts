/** Real clients log in with right and wrong passwords, push, and pull what is private; and their credentials of another registry do no harm. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { request } from '../support/client.ts';
import { bytesBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { type LoginRig, startLoginRig } from '../support/login-rig.ts';
import { writeLayout } from '../support/push-command.ts';
import { clientEnvironment, prepareFolder } from '../support/real/client.ts';
import { Containerd } from '../support/real/containerd.ts';
import { Dockerd } from '../support/real/dockerd.ts';
import { findGoProgram } from '../support/real/go-program.ts';
import { host, runIn } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';
import { basic } from '../support/users.ts';

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

requires('root', 'dockerd')('docker, with the mirror in registry-mirrors', () => {
  test('pulls what is public without a login, and with the login of Docker Hub, which is no login here', async () => {
    const client = await start();
    const { run, folder, mirror, upstream } = client;
    const daemonFolder = join(folder, 'd');
    await mkdir(daemonFolder);
    const daemon = await Dockerd.start({ folder: daemonFolder, place: host, mirror: mirror.url });
    onTestFinished(() => daemon.close());
    const docker = ['docker', '--host', `unix://${join(daemonFolder, 'd.sock')}`];
    const hub = { auth: Buffer.from('hubuser:hub-password').toString('base64') };
    for (const [tag, auths] of [
      ['anonymous', {}],
      ['hub', { 'https://index.docker.io/v1/': hub }],
    ] as const) {
      const layer = bytesBlob(Buffer.alloc(10_240)); // the end of a tar file, and nothing before it
      upstream.put('library/alpine', buildImage({ layers: [layer], type: 'docker' }), tag);
      await writeFile(join(folder, 'config.json'), JSON.stringify({ auths }));
      const pulled = await run(...docker, 'pull', `alpine:${tag}`);
      expect(pulled.code, pulled.text).toBe(0);
      expect(mirror.log.some(({ path }) => path === `/v2/library/alpine/manifests/${tag}`)).toBe(true);
    }
    expect(wrongAnswers(client)).toBe(0);
    const sent = upstream.requests.flatMap(({ headers }) => headers['authorization'] ?? []);
    expect(sent.filter(header => header.includes(hub.auth))).toEqual([]);
  }, 60_000);
});

requires('containerd')('containerd', () => {
  test('pulls what is private with a name and a password, which it sends to the realm', async () => {
    const client = await start();
    const { address, run, folder, mirror } = client;
    await pushPrivate(mirror.url);
    const daemonFolder = join(folder, 'c');
    await mkdir(daemonFolder);
    const containerd = await Containerd.start({
      folder: daemonFolder,
      place: host,
      mirror: mirror.url,
      hosts: '_default',
    });
    onTestFinished(() => containerd.close());
    const ctr = ['ctr', '--address', join(daemonFolder, 'c.sock'), 'content', 'fetch', '--plain-http'];
    const image = `${address}/team/app:1`;
    const anonymous = await run(...ctr, image);
    expect([anonymous.code, anonymous.text]).toEqual([1, expect.stringMatching(/401|authorization failed/)]);
    const wrong = await run(...ctr, '--user', 'alice:wrong', image);
    expect([wrong.code, wrong.text]).toEqual([1, expect.stringMatching(/401|unauthorized/i)]);
    const right = await run(...ctr, '--user', "alice:alice's", image);
    expect(right.code, right.text).toBe(0);
  }, 60_000);
});

requires('oras')('oras', () => {
  test('logs in, pushes and pulls; a wrong password fails', async () => {
    const { address, run, folder } = await start();
    const oras = await findGoProgram('oras');
    const login = [oras, 'login', '--plain-http', '-u', 'alice', '-p'];
    const config = ['--registry-config', join(folder, 'oras.json')];
    const wrong = await run(...login, 'wrong', ...config, address);
    expect([wrong.code, wrong.text]).toEqual([1, expect.stringMatching(/wrong user name or password|401/)]);
    const right = await run(...login, "alice's", ...config, address);
    expect(right.code, right.text).toBe(0);
    await writeFile(join(folder, 'note.txt'), 'a note');
    const note = `${join(folder, 'note.txt')}:text/plain`;
    const push = [oras, 'push', '--plain-http', '--disable-path-validation', `${address}/team/note:1`, note];
    expect((await run(...push)).code).toBe(1);
    const pushed = await run(...push, ...config);
    expect(pushed.code, pushed.text).toBe(0);
    const output = ['--output', join(folder, 'pulled')];
    const pulled = await run(
      oras,
      'pull',
      '--plain-http',
      '--allow-path-traversal',
      ...output,
      ...config,
      `${address}/team/note:1`,
    );
    expect(pulled.code, pulled.text).toBe(0);
  }, 60_000);
});

requires('regctl')('regctl', () => {
  test('logs in, pushes and pulls; a wrong password fails', async () => {
    const { address, run, mirror } = await start();
    const regctl = await findGoProgram('regctl');
    const set = await run(regctl, 'registry', 'set', '--tls', 'disabled', '--skip-check', address);
    expect(set.code, set.text).toBe(0);
    await pushPrivate(mirror.url);
    const login = [regctl, 'registry', 'login', '-u', 'alice', '-p'];
    const wrong = await run(...login, 'wrong', address);
    expect([wrong.code, wrong.text]).toEqual([1, expect.stringMatching(/unauthorized|401/i)]);
    expect((await run(regctl, 'manifest', 'get', `${address}/team/app:1`)).code).toBe(1);
    const right = await run(...login, "alice's", address);
    expect(right.code, right.text).toBe(0);
    const copied = await run(regctl, 'image', 'copy', `${address}/team/app:1`, `${address}/team/copy:1`);
    expect(copied.code, copied.text).toBe(0);
    const read = await run(regctl, 'manifest', 'get', '--format', 'raw-body', `${address}/team/copy:1`);
    expect(read.code, read.text).toBe(0);
  }, 60_000);
});

/** By Basic, which is taken on every request. */
async function pushPrivate(url: string): Promise<void> {
  const image = buildImage();
  const headers = { Authorization: basic('alice') };
  for (const { content } of image.blobs) {
    const path = `/v2/team/app/blobs/uploads/?digest=${content.digest}`;
    const body = content.slice(0, content.size);
    expect((await request(url, { method: 'POST', path, headers, body }).done).status).toBe(201);
  }
  const type = { ...headers, 'Content-Type': image.descriptor.mediaType };
  const put = { method: 'PUT', path: '/v2/team/app/manifests/1', headers: type, body: image.bytes };
  expect((await request(url, put).done).status).toBe(201);
}
