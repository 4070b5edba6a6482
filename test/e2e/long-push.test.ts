/** Pushes whose one layer takes longer than the token of its client lives: real clients, each over a line of its own that is too slow. */
import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { get } from '../support/client.ts';
import { askToken, startLoginRig } from '../support/login-rig.ts';
import { clientEnvironment, prepareFolder } from '../support/real/client.ts';
import { commandOutput } from '../support/real/command.ts';
import { Dockerd } from '../support/real/dockerd.ts';
import { host, runIn } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { SlowLine } from '../support/slow-line.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Clients take shorter lives for a minute. */
const tokenTtlSeconds = 60;
const pushSeconds = 80;
const layerBytes = 6_000_000;

requires(
  'root',
  'dockerd',
  'podman',
  'skopeo',
)('one layer of 80 s, with tokens of 60 s', () => {
  test('docker, podman and skopeo push it at the same time', async () => {
    const { mirror } = await startLoginRig({
      users: ['alice'],
      access: { token_ttl: `${tokenTtlSeconds}s` },
    });
    const folder = await tempDir();
    await writeFile(join(folder, 'data'), randomBytes(layerBytes));
    const tar = join(folder, 'layer.tar');
    await commandOutput(['tar', '-cf', tar, '-C', folder, 'data']);
    const port = Number(new URL(mirror.url).port);

    /** Where this client pushes to, and how it runs a command. */
    async function client(name: string) {
      const line = await SlowLine.start(port, layerBytes / pushSeconds);
      const own = join(folder, name);
      await mkdir(own);
      const options = { folder: join(own, 'client'), place: host, mirror: mirror.url };
      await prepareFolder(options);
      const env = { ...clientEnvironment(options), REGISTRY_AUTH_FILE: join(own, 'auth.json') };
      await writeFile(env.REGISTRY_AUTH_FILE, '{}');
      const run = async (...argv: readonly string[]) => {
        const { code, stdout, stderr } = await runIn(host, argv, { env, timeoutMs: 240_000 });
        expect(code, `${argv.join(' ')}: ${stdout}${stderr}`).toBe(0);
      };
      return { own, registry: `127.0.0.1:${line.port}`, run, line };
    }

    async function pushByDocker() {
      const { own, registry, run, line } = await client('d');
      const daemon = await Dockerd.start({ folder: own, place: host, mirror: mirror.url });
      onTestFinished(() => daemon.close());
      const docker = ['docker', '--host', `unix://${join(own, 'd.sock')}`];
      await run(...docker, 'import', tar, `${registry}/team/docker:1`);
      await run(...docker, 'login', '-u', 'alice', '-p', "alice's", registry);
      await run(...docker, 'push', `${registry}/team/docker:1`);
      return line;
    }

    async function pushByPodman() {
      const { own, registry, run, line } = await client('p');
      const podman = [
        'podman',
        '--root',
        join(own, 'root'),
        '--runroot',
        join(own, 'run'),
        '--storage-driver',
        'vfs',
      ];
      await run(...podman, '--events-backend', 'none', 'import', tar, `${registry}/team/podman:1`);
      await run('podman', 'login', '--tls-verify=false', '-u', 'alice', '-p', "alice's", registry);
      await run(...podman, 'push', '--tls-verify=false', `${registry}/team/podman:1`);
      return line;
    }

    async function pushBySkopeo() {
      const { own, registry, run, line } = await client('s');
      const layout = join(own, 'layout');
      const podman = [
        'podman',
        '--root',
        join(own, 'root'),
        '--runroot',
        join(own, 'run'),
        '--storage-driver',
        'vfs',
      ];
      await run(...podman, '--events-backend', 'none', 'import', tar, 'image:1');
      await run(...podman, 'push', 'image:1', `oci:${layout}:1`);
      await run('skopeo', 'login', '--tls-verify=false', '-u', 'alice', '-p', "alice's", registry);
      const copy = ['skopeo', '--insecure-policy', 'copy', '--dest-tls-verify=false'];
      await run(...copy, `oci:${layout}:1`, `docker://${registry}/team/skopeo:1`);
      return line;
    }

    const lines = await Promise.all([pushByDocker(), pushByPodman(), pushBySkopeo()]);
    for (const { upBytes } of lines) expect(upBytes).toBeGreaterThan(layerBytes); // each layer came over the slow line
    for (const name of ['docker', 'podman', 'skopeo']) {
      const { token } = await askToken(mirror.url, 'alice', { scopes: [`repository:team/${name}:pull`] });
      const headers = { Authorization: `Bearer ${token}` };
      expect((await get(mirror.url, `/v2/team/${name}/manifests/1`, { headers })).status).toBe(200);
    }
    // The bytes of a layer came in one request, which began with a token that had expired before it ended.
    const uploads = mirror.log.filter(
      ({ msg, kind, ms }) => msg === 'request' && kind === 'upload' && Number(ms) > tokenTtlSeconds * 1000,
    );
    expect(uploads.length).toBeGreaterThanOrEqual(3);
  }, 300_000);
});
