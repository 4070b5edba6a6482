/** deploy/nginx.conf and deploy/apache-ldap.conf as they are, but for ports, names and files, in front of a mirror. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type CallOptions, get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { spawnProcess } from '../support/process.ts';
import { writeLayout } from '../support/push-command.ts';
import { commandOutput, runCommand } from '../support/real/command.ts';
import { answers, type Front, readShipped, startBehind, startNginx } from '../support/real/front-server.ts';
import { Directory } from '../support/real/slapd.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';

const repository = '/v2/library/alpine';

requires(
  'nginx',
  'openssl',
  'curl',
)('deploy/nginx.conf', () => {
  test('a cold layer reaches the client while it arrives, and pulls are as without it', async () => {
    await expectPulls(await startNginx());
  });

  test('a body of any size goes on to the mirror before it has come, and is not kept by nginx', async () => {
    await expectOpenBody(await startNginx());
  });

  test('the log has the address of the client, whatever the client says of itself', async () => {
    const { url, caFile, mirror } = await startNginx();
    await expectClientAddress(url, ['--cacert', caFile], mirror.log);
  });
});

requires(
  'apache2',
  'slapd',
  'openssl',
  'curl',
  'skopeo',
)('deploy/apache-ldap.conf', () => {
  test('users of the directory pull, everyone else gets 401, and the mirror sees no password', async () => {
    const front = await startApache();
    for (const headers of [{}, login('ann', 'wrong'), login('nobody', 'pull'), login('ann', '')]) {
      const { status, headers: answer } = await get(front.url, '/v2/', { ca: front.ca, headers });
      expect(status).toBe(401);
      expect(answer.get('www-authenticate')).toBe('Basic realm="Registry"');
      expect(answer.get('docker-distribution-api-version')).toBe('registry/2.0');
    }
    await expectPulls(front, login('ann', 'pull'));
    expect(front.upstream.requests.filter(({ headers }) => headers['authorization'] !== undefined)).toEqual(
      [],
    );
    expect((await get(front.url, '/healthz', { ca: front.ca })).status).toBe(200);
  });

  test('only members of the group may do more than pull', async () => {
    const { url, ca } = await startApache();
    const post = async (headers: CallOptions['headers']) =>
      await request(url, {
        method: 'POST',
        path: `${repository}/blobs/uploads/`,
        ca,
        ...(headers && { headers }),
      }).done;
    expect((await post(login('ann', 'pull'))).status).toBe(401);
    const { status, headers } = await post(login('bob', 'push'));
    expect([403, 405]).toContain(status); // the mirror's own answer
    expect(headers.get('docker-distribution-api-version')).toBe('registry/2.0');
  });

  test('clients log in to Apache, the group pushes, and every user pulls what it has pushed', async () => {
    const { url, caFile } = await startApache();
    const { host: address } = new URL(url);
    const image = `docker://${address}/team/alpine:3.6`;
    const folder = await tempDir();
    await copyFile(caFile, join(folder, 'ca.crt'));
    const source = `oci:${await writeLayout({ latest: buildImage() })}:latest`;
    const push = (user: string) =>
      runCommand(['skopeo', 'copy', '--dest-cert-dir', folder, '--dest-creds', user, source, image]);
    expect((await push('ann:pull')).code).not.toBe(0);
    expect(await push('bob:push')).toMatchObject({ code: 0 });
    const pulled = ['--src-cert-dir', folder, '--src-creds', 'ann:pull', image, `dir:${join(folder, 'out')}`];
    await commandOutput(['skopeo', 'copy', ...pulled]);
    const list = ['--silent', '--cacert', caFile, '--user', 'ann:pull', `${url}/v2/team/alpine/tags/list`];
    expect(JSON.parse(await commandOutput(['curl', ...list]))).toEqual({
      name: 'team/alpine',
      tags: ['3.6'],
    });
  });

  test('a body of any size goes on to the mirror before it has come', async () => {
    await expectOpenBody(await startApache(), login('bob', 'push'));
  });

  test('the log has the address of the client, whatever the client says of itself', async () => {
    const { url, caFile, mirror } = await startApache();
    await expectClientAddress(url, ['--cacert', caFile, '--user', 'ann:pull'], mirror.log);
  });
});

async function startApache() {
  const front = await startBehind({ config: { hosted: { repositories: ['team/**'] } } });
  const { folder, port, replace, authority, caFile } = front;
  const directory = await Directory.start(await tempDir(), authority);
  const passwordFile = join(folder, 'ldap.password');
  await writeFile(passwordFile, Directory.password);
  const site = join(folder, 'cistern.conf');
  await writeFile(
    site,
    await readShipped('apache-ldap.conf', {
      ...replace,
      'ldaps://ldap.example.com:636/': `${directory.url}/`,
      '/etc/ssl/certs/ldap-ca.pem': caFile,
      '/etc/apache2/ldap.password': passwordFile,
      '*:443': `127.0.0.1:${port}`,
    }),
  );
  const modules = ['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'auth_basic', 'ldap', 'authnz_ldap']
    .concat(['socache_shmcb', 'ssl', 'proxy', 'proxy_http', 'headers', 'reqtimeout'])
    .map(name => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`);
  const config = join(folder, 'apache2.conf');
  const user = process.getuid?.() === 0 ? ['User www-data', 'Group www-data'] : [];
  await mkdir(join(folder, 'run'));
  const own = [`ServerRoot ${folder}`, 'ServerName localhost', `PidFile ${join(folder, 'apache2.pid')}`]
    .concat([`DefaultRuntimeDir ${join(folder, 'run')}`, `Listen 127.0.0.1:${port} https`])
    .concat([`ErrorLog ${join(folder, 'error.log')}`, ...user, ...modules, `Include ${site}`]);
  await writeFile(config, `${own.join('\n')}\n`);
  await commandOutput(['apache2', '-t', '-f', config]);
  spawnProcess('apache2', ['-f', config, '-DFOREGROUND'], { group: true });
  await answers(front);
  return front;
}

/** Manifest, a cold layer that the upstream holds back half-way, and the same one held. */
async function expectPulls(
  { url, ca, upstream }: Front,
  headers: CallOptions['headers'] = {},
): Promise<void> {
  const layer = patternBlob('layer', 3_000_000);
  const image = buildImage({ layers: [layer] });
  upstream.put('library/alpine', image, '3.20');
  const options = { ca, headers };
  const manifest = await get(url, `${repository}/manifests/3.20`, options);
  expect(manifest).toMatchObject({ status: 200, sha256: image.digest });
  expect(manifest.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
  const gate = upstream.holdAfter({ digest: layer.digest }, 1_000_000);
  const path = `${repository}/blobs/${layer.digest}`;
  const cold = request(url, { path, ...options });
  await cold.atLeast(1_000_000);
  gate.release();
  expect(await cold.done).toMatchObject({ status: 200, sha256: layer.digest });
  expect(await get(url, path, options)).toMatchObject({ status: 200, sha256: layer.digest });
}

/**
 * 5 GB are announced and 64 KiB come (Apache passes on nothing before 16): a proxy that neither limits nor keeps them lets
 * the mirror see the request, and refuse it. Apache tells the client only at the end.
 */
async function expectOpenBody(
  { url, ca, mirror }: Front,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  const path = `${repository}/blobs/uploads/`;
  const fields = { Host: new URL(url).host, 'Content-Length': '5000000000', ...headers };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const raw = `POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n${'x'.repeat(65_536)}`;
  const call = request(url, { raw, ca });
  call.head.catch(() => {}); // Apache ends without one
  onTestFinished(() => call.abort());
  await expect
    .poll(() => mirror.log.filter(line => line['path'] === path && line['method'] === 'POST').length)
    .toBe(1);
}

async function expectClientAddress(
  url: string,
  flags: readonly string[],
  log: readonly Readonly<Record<string, unknown>>[],
): Promise<void> {
  const own = [
    '--silent',
    '--fail',
    '--interface',
    '127.0.0.3',
    '--ipv4',
    '--header',
    'X-Forwarded-For: 6.6.6.6',
  ];
  await commandOutput(['curl', ...own, ...flags, `${url}/v2/`]);
  await expect
    .poll(() => log.filter(({ path }) => path === '/v2/').map(({ client }) => client))
    .toEqual(['127.0.0.3']);
}

function login(user: string, password: string): Record<string, string> {
  return { Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}
