/**
 * Private registries as posts of the last ten years set them up, with Cistern in the place of the registry: htpasswd and nginx with an
 * authority of one's own, the same without nginx, and registry:2's variables with a self-signed certificate.
 */
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { commandOutput } from '../support/real/command.ts';
import { outputIn } from '../support/real/place.ts';
import {
  commit,
  digestIn,
  expectSession,
  importBase,
  name,
  setUp,
  signByOwnAuthority,
  startDocker,
  startNginxSetup,
  startRegistry,
  succeed,
  writeUsers,
} from '../support/real/registry-setup.ts';
import { requires } from '../support/requires.ts';

const needs = ['root', 'namespaces', 'dockerd', 'openssl', 'curl'] as const;

requires(
  ...needs,
  'nginx',
  'htpasswd',
)('htpasswd and an own authority', () => {
  test('nginx asks for the password and has the certificate, the registry has neither', async () => {
    const setup = await startNginxSetup();
    const { folder } = setup;
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
    await writeUsers(folder);
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
