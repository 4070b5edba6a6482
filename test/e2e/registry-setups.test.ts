/**
 * Private registries as posts of the last ten years set them up, with Cistern in the place of the registry: htpasswd and nginx with an
 * authority of one's own, the same without nginx, and registry:2's variables with a self-signed certificate.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { stringify } from 'yaml';
import { clientEnvironment, prepareFolder } from '../support/real/client.ts';
import { commandOutput, type Finished } from '../support/real/command.ts';
import { endDaemon, startDaemon } from '../support/real/daemon.ts';
import { Dockerd } from '../support/real/dockerd.ts';
import { projectFolder } from '../support/real/mirror.ts';
import { Namespace, outputIn, runIn } from '../support/real/place.ts';
import { requires } from '../support/requires.ts';
import { tempDir } from '../support/temp-dir.ts';

const name = 'private.registry.example.com';
/** dockerd doesn't ask 127.0.0.0/8 for certificates. */
const address = '192.168.77.1';

interface Setup {
  readonly folder: string;
  readonly place: Namespace;
}

interface Docker {
  run(...args: readonly string[]): Promise<Finished>;
}

async function setUp(): Promise<Setup> {
  const folder = await tempDir();
  const place = await Namespace.create(join(folder, 'namespace'), []);
  onTestFinished(() => place.close());
  await outputIn(place, ['ip', 'address', 'add', `${address}/32`, 'dev', 'lo']);
  await writeFile(join(folder, 'namespace', 'hosts'), `127.0.0.1 localhost\n${address} ${name}\n`);
  return { folder, place };
}

/** With the variables of registry:2, or a configuration file. */
async function startRegistry(
  { folder, place }: Setup,
  { env = {}, config }: { readonly env?: Record<string, string>; readonly config?: unknown },
): Promise<void> {
  const file = join(folder, 'mirror.yml');
  if (config !== undefined) await writeFile(file, stringify(config));
  const daemon = await startDaemon({
    place,
    cwd: folder,
    argv: [
      process.execPath,
      join(projectFolder, 'dist/main.js'),
      'serve',
      ...(config ? ['--config', file] : []),
    ],
    env,
    ready: async ({ lines }) => lines.some(line => line.includes('"msg":"listening"')),
  });
  onTestFinished(() => endDaemon(daemon));
}

/** The location blocks of the post, with the paths and the certificate of the test. */
async function startNginx({ folder, place }: Setup): Promise<void> {
  const config = join(folder, 'nginx.conf');
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(kind => `${kind}_temp_path ${join(folder, 'temporary')};`)
    .join(' ');
  await writeFile(
    config,
    `daemon off; master_process off; user root; pid ${join(folder, 'nginx.pid')}; error_log stderr;
events {}
http { access_log off; ${temporary}
upstream docker-registry { server localhost:5000; }
server {
  listen 8080 ssl;
  server_name ${name};
  ssl_certificate ${join(folder, 'domain.crt')};
  ssl_certificate_key ${join(folder, 'domain.key')};
  proxy_set_header Host $http_host;
  proxy_set_header X-Real-IP $remote_addr;
  client_max_body_size 0;
  chunked_transfer_encoding on;
  location / {
    auth_basic "Restricted";
    auth_basic_user_file ${join(folder, 'docker-registry.htpasswd')};
    proxy_pass http://docker-registry;
  }
  location /_ping { auth_basic off; proxy_pass http://docker-registry; }
  location /v1/_ping { auth_basic off; proxy_pass http://docker-registry; }
} }\n`,
  );
  const daemon = await startDaemon({
    place,
    argv: ['nginx', '-c', config, '-p', folder, '-e', 'stderr'],
    ready: async () => (await runIn(place, ['curl', '-sk', `https://${name}:8080/v2/`])).code === 0,
  });
  onTestFinished(() => endDaemon(daemon));
}

/** The post's lines of openssl; clients of today ask for the name in an extension of its own. */
async function signByOwnAuthority(folder: string): Promise<void> {
  const at = (file: string): string => join(folder, file);
  const openssl = (...args: readonly string[]) => commandOutput(['openssl', ...args]);
  await openssl('genrsa', '-out', at('ca.key'), '2048');
  const authority = ['-subj', '/O=Lab', '-days', '10000', '-out', at('ca.crt')];
  await openssl('req', '-x509', '-new', '-nodes', '-key', at('ca.key'), ...authority);
  await openssl('genrsa', '-out', at('domain.key'), '2048');
  await openssl('req', '-new', '-key', at('domain.key'), '-subj', `/CN=${name}`, '-out', at('domain.csr'));
  await writeFile(at('names.cnf'), `subjectAltName=DNS:${name}\n`);
  const signer = [
    '-CA',
    at('ca.crt'),
    '-CAkey',
    at('ca.key'),
    '-CAcreateserial',
    '-extfile',
    at('names.cnf'),
  ];
  await openssl(
    'x509',
    '-req',
    '-in',
    at('domain.csr'),
    ...signer,
    '-out',
    at('domain.crt'),
    '-days',
    '10000',
  );
}

async function startDocker({ folder, place }: Setup, as: string, trusted?: string): Promise<Docker> {
  const own = join(folder, as);
  await mkdir(own);
  const options = {
    folder: own,
    place,
    mirror: `https://${name}`,
    ...(trusted !== undefined && { trusted: join(folder, trusted) }),
  };
  await prepareFolder({ ...options, folder: join(own, 'client') });
  const daemon = await Dockerd.start(options);
  onTestFinished(() => daemon.close());
  const command = ['docker', '--host', `unix://${join(own, 'd.sock')}`];
  const env = clientEnvironment({ ...options, folder: join(own, 'client') });
  return { run: (...args) => runIn(place, [...command, ...args], { env }) };
}

/** As `docker commit` of a container in which a file was made. */
async function commit(docker: Docker, base: string, image: string, folder: string): Promise<void> {
  await writeFile(join(folder, 'SUCCESS'), image);
  const { stdout } = await succeed(docker.run('create', base, '/none'));
  await succeed(docker.run('cp', join(folder, 'SUCCESS'), `${stdout.trim()}:/SUCCESS`));
  await succeed(docker.run('commit', stdout.trim(), image));
  await succeed(docker.run('rm', stdout.trim()));
}

async function importBase(docker: Docker, image: string, folder: string): Promise<void> {
  await writeFile(join(folder, 'hello'), 'hello '.repeat(100_000));
  await commandOutput(['tar', '-cf', join(folder, 'base.tar'), '-C', folder, 'hello']);
  await succeed(docker.run('import', join(folder, 'base.tar'), image));
}

async function succeed(running: Promise<Finished>): Promise<Finished> {
  const finished = await running;
  expect(finished.code, `${finished.stdout}${finished.stderr}`).toBe(0);
  return finished;
}

function digestIn({ stdout }: Finished): string {
  return /digest: (sha256:[0-9a-f]{64})/i.exec(stdout)?.[1] ?? 'none';
}

const needs = ['root', 'namespaces', 'dockerd', 'openssl', 'curl'] as const;

/** The session of the post: unknown authority, no login, wrong password, login, commit, push, pull. */
async function expectSession(setup: Setup, registry: string): Promise<void> {
  const { folder } = setup;
  const stranger = await startDocker(setup, 's');
  const unknown = await stranger.run('login', '-u', 'ghost', '-p', 'secret', registry);
  expect([unknown.code, unknown.stderr]).toEqual([
    1,
    expect.stringContaining('certificate signed by unknown authority'),
  ]);

  const docker = await startDocker(setup, 'd', 'ca.crt'); // as after update-ca-certificates
  await importBase(docker, 'ubuntu', folder);
  await commit(docker, 'ubuntu', `${registry}/test-image`, folder);
  const refused = await docker.run('push', `${registry}/test-image`);
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/no basic auth credentials|requested access to the resource is denied/),
  ]);
  const wrong = await docker.run('login', '-u', 'ghost', '-p', 'wrong', registry);
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringMatching(/401 Unauthorized|unauthorized/)]);
  expect((await succeed(docker.run('login', '-u', 'ghost', '-p', 'secret', registry))).stdout).toContain(
    'Login Succeeded',
  );
  const pushed = await succeed(docker.run('push', `${registry}/test-image`));
  await succeed(docker.run('image', 'rm', `${registry}/test-image`));
  const pulled = await succeed(docker.run('pull', `${registry}/test-image`));
  expect(digestIn(pulled)).toBe(digestIn(pushed));
}

requires(
  ...needs,
  'nginx',
  'apache2',
)('htpasswd and an own authority', () => {
  test('nginx asks for the password and has the certificate, the registry has neither', async () => {
    const setup = await setUp();
    const { folder } = setup;
    await signByOwnAuthority(folder);
    await commandOutput(['htpasswd', '-bc', join(folder, 'docker-registry.htpasswd'), 'ghost', 'secret']);
    await startRegistry(setup, {
      env: {
        REGISTRY_HTTP_ADDR: 'localhost:5000',
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(folder, 'data'),
      },
    });
    await startNginx(setup);
    const ask = (...args: readonly string[]) => outputIn(setup.place, ['curl', '-s', ...args]);
    expect(await ask('localhost:5000')).toContain('Cistern');
    const secured = ['--cacert', join(folder, 'ca.crt'), '-w', '%{http_code}', '-o', '/dev/null'];
    expect(await ask(...secured, `https://${name}:8080`)).toBe('401');
    expect(await ask(...secured, `https://ghost:secret@${name}:8080`)).toBe('200');
    await expectSession(setup, `${name}:8080`);
  }, 120_000);

  test('without nginx: the same file of users and the same certificate in mirror.yml', async () => {
    const setup = await setUp();
    const { folder } = setup;
    await signByOwnAuthority(folder);
    await commandOutput(['htpasswd', '-bc', join(folder, 'docker-registry.htpasswd'), 'ghost', 'secret']);
    await startRegistry(setup, {
      config: {
        http: { listen: '0.0.0.0:8080', tls: { certificate: 'domain.crt', key: 'domain.key' } },
        store: { path: 'data' },
        hosted: { repositories: ['**'] },
        access: { htpasswd: 'docker-registry.htpasswd' },
      },
    });
    await expectSession(setup, `${name}:8080`);
  }, 120_000);
});

requires(...needs)("registry:2's variables and a self-signed certificate", () => {
  test('push, a layer mounted from another image, the catalog by curl, and a pull of what is missing', async () => {
    const setup = await setUp();
    const { folder, place } = setup;
    const request = ['req', '-newkey', 'rsa:4096', '-nodes', '-sha256', '-x509', '-days', '365'];
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
    const files = ['-keyout', join(folder, 'domain.key'), '-out', join(folder, 'domain.crt')];
    await commandOutput(['openssl', ...request, ...subject, ...files]);
    await startRegistry(setup, {
      env: {
        REGISTRY_HTTP_SECRET: 'mytokensecret',
        REGISTRY_HTTP_TLS_CERTIFICATE: join(folder, 'domain.crt'),
        REGISTRY_HTTP_TLS_KEY: join(folder, 'domain.key'),
        REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(folder, 'data'),
      },
    });
    const registry = `${name}:5000`;
    const docker = await startDocker(setup, 'd', 'domain.crt');
    await importBase(docker, `${registry}/alpine`, folder);
    await succeed(docker.run('push', `${registry}/alpine`));
    await commit(docker, `${registry}/alpine`, 'registry', folder);
    await succeed(docker.run('tag', 'registry', `${registry}/registry`));
    const pushed = await succeed(docker.run('push', `${registry}/registry`));
    expect(pushed.stdout).toContain('Mounted from alpine');
    const catalog = ['curl', '-s', '--cacert', join(folder, 'domain.crt'), `https://${registry}/v2/_catalog`];
    expect(JSON.parse(await outputIn(place, catalog))).toEqual({ repositories: ['alpine', 'registry'] });
    await succeed(docker.run('image', 'rm', 'registry', `${registry}/registry`));
    const pulled = await succeed(docker.run('pull', `${registry}/registry`));
    expect(pulled.stdout).toContain('Already exists');
    expect(digestIn(pulled)).toBe(digestIn(pushed));
  }, 120_000);
});
