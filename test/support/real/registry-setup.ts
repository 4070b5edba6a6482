/**
 * The parts of private registries as posts of the last ten years set them up, in a network namespace of their own: Cistern in the place of
 * the registry, nginx with a file of users, an authority of one's own, and dockerd.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import { tempDir } from '../temp-dir.ts';
import { clientEnvironment, prepareFolder } from './client.ts';
import { commandOutput, type Finished } from './command.ts';
import { endDaemon, startDaemon } from './daemon.ts';
import { Dockerd } from './dockerd.ts';
import { projectFolder } from './mirror.ts';
import { Namespace, outputIn, runIn } from './place.ts';

export const name = 'private.registry.example.com';
/** dockerd doesn't ask 127.0.0.0/8 for certificates. */
const address = '192.168.77.1';

export interface Setup {
  readonly folder: string;
  readonly place: Namespace;
}

export interface Docker {
  run(...args: readonly string[]): Promise<Finished>;
}

export async function setUp(): Promise<Setup> {
  const folder = await tempDir();
  const place = await Namespace.create(join(folder, 'namespace'), []);
  onTestFinished(() => place.close());
  await outputIn(place, ['ip', 'address', 'add', `${address}/32`, 'dev', 'lo']);
  await writeFile(join(folder, 'namespace', 'hosts'), `127.0.0.1 localhost\n${address} ${name}\n`);
  return { folder, place };
}

/** With the variables of registry:2, or a configuration file. */
export async function startRegistry(
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
export async function signByOwnAuthority(folder: string): Promise<void> {
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

export async function startDocker({ folder, place }: Setup, as: string, trusted?: string): Promise<Docker> {
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
export async function commit(docker: Docker, base: string, image: string, folder: string): Promise<void> {
  await writeFile(join(folder, 'SUCCESS'), image);
  const { stdout } = await succeed(docker.run('create', base, '/none'));
  await succeed(docker.run('cp', join(folder, 'SUCCESS'), `${stdout.trim()}:/SUCCESS`));
  await succeed(docker.run('commit', stdout.trim(), image));
  await succeed(docker.run('rm', stdout.trim()));
}

/** An image of one layer with so many random bytes. */
export async function importBase(
  docker: Docker,
  image: string,
  folder: string,
  bytes = 600_000,
): Promise<void> {
  await commandOutput([
    'dd',
    'if=/dev/urandom',
    `of=${join(folder, 'hello')}`,
    'bs=100000',
    `count=${bytes / 100_000}`,
  ]);
  await commandOutput(['tar', '-cf', join(folder, 'base.tar'), '-C', folder, 'hello']);
  await succeed(docker.run('import', join(folder, 'base.tar'), image));
}

export async function succeed(running: Promise<Finished>): Promise<Finished> {
  const finished = await running;
  expect(finished.code, `${finished.stdout}${finished.stderr}`).toBe(0);
  return finished;
}

export function digestIn({ stdout }: Finished): string {
  const [, digest] = /digest: (sha256:[0-9a-f]{64})/i.exec(stdout) ?? [];
  if (digest === undefined) throw new Error(`expected a digest in ${stdout}`);
  return digest;
}

/** The session of the post: unknown authority, no login, wrong password, login, commit, push, pull. */
export async function expectSession(setup: Setup, registry: string, layerBytes?: number): Promise<void> {
  const { folder } = setup;
  const stranger = await startDocker(setup, 's');
  const unknown = await stranger.run('login', '-u', 'ghost', '-p', 'secret', registry);
  expect([unknown.code, unknown.stderr]).toEqual([
    1,
    expect.stringContaining('certificate signed by unknown authority'),
  ]);

  const docker = await startDocker(setup, 'd', 'ca.crt'); // as after update-ca-certificates
  await importBase(docker, 'ubuntu', folder, layerBytes);
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

/** An own authority, `htpasswd -c`, the registry at localhost:5000, and nginx with TLS and the password in front of it. */
export async function startNginxSetup(): Promise<Setup> {
  const setup = await setUp();
  const { folder } = setup;
  await signByOwnAuthority(folder);
  await writeUsers(folder);
  const root = join(folder, 'data');
  await startRegistry(setup, {
    env: { REGISTRY_HTTP_ADDR: 'localhost:5000', REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: root },
  });
  await startNginx(setup);
  return setup;
}

export async function writeUsers(folder: string): Promise<void> {
  await commandOutput(['htpasswd', '-bc', join(folder, 'docker-registry.htpasswd'), 'ghost', 'secret']);
}
