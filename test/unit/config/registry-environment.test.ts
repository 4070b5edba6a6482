/** `REGISTRY_…` of registry:2: what it means here, what it stops, and what is above it. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type LoadedConfig, loadConfig } from '../../../src/config/load.ts';
import { CertificateAuthority } from '../../support/certificates.ts';
import { tempDir } from '../../support/temp-dir.ts';

async function load(env: NodeJS.ProcessEnv, file?: string): Promise<LoadedConfig> {
  const cwd = await tempDir();
  if (file !== undefined) await writeFile(join(cwd, 'mirror.yml'), file);
  return loadConfig({ env, cwd });
}

test('without a remote URL: a plain private registry, no upstreams', async () => {
  const { config, warnings } = await load({
    REGISTRY_HTTP_SECRET: 'mytokensecret',
    REGISTRY_HTTP_ADDR: '0.0.0.0:5001',
    REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/srv/images',
    REGISTRY_STORAGE: 'filesystem',
  });
  expect(config.hosted.repositories).toEqual(['**']);
  expect([...config.upstreams.keys()]).toEqual([]);
  expect(config.http.listen).toEqual([{ host: '0.0.0.0', port: 5001 }]);
  expect(config.store.path).toBe('/srv/images');
  expect(config.access).toEqual({ tokenTtlMs: 300_000 });
  expect(warnings).toEqual([]);
});

test('with a remote URL: a mirror of that registry alone, nothing hosted', async () => {
  const { config } = await load({
    REGISTRY_PROXY_REMOTEURL: 'https://registry-1.docker.io',
    REGISTRY_PROXY_USERNAME: 'jo',
    REGISTRY_PROXY_PASSWORD: 'secret',
    REGISTRY_STORAGE_DELETE_ENABLED: 'true',
  });
  expect([...config.upstreams]).toMatchObject([
    ['docker.io', { url: new URL('https://registry-1.docker.io/'), username: 'jo', password: 'secret' }],
  ]);
  expect(config.defaultUpstream).toBe('docker.io');
  expect(config.hosted.repositories).toEqual([]);
  expect(config.access).toEqual({ tokenTtlMs: 300_000 });
  const other = await load({ REGISTRY_PROXY_REMOTEURL: 'http://registry.lan:5000' });
  expect([...other.config.upstreams.keys()]).toEqual(['registry.lan:5000']);
});

test('deletes are for everyone where there are no users', async () => {
  const { config } = await load({ REGISTRY_STORAGE_DELETE_ENABLED: 'true' });
  expect(config.access.rules).toMatchObject([
    { repositories: ['**'], users: ['anonymous'], actions: ['pull', 'push', 'delete'] },
  ]);
  const without = await load({ REGISTRY_STORAGE_DELETE_ENABLED: 'false' });
  expect(without.config.access.rules).toBeUndefined();
});

test('the file is above it, and CISTERN_ above the file', async () => {
  const file = 'store: { path: /from/file }\nhosted: { repositories: ["team/**"] }\n';
  const env = {
    REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: '/from/registry',
    REGISTRY_HTTP_ADDR: ':5001',
    CISTERN_HTTP_LISTEN: ':5002',
  };
  const { config, warnings } = await load(env, file);
  expect(config.store.path).toBe('/from/file');
  expect(config.http.listen[0]?.port).toBe(5002);
  expect(config.hosted.repositories).toEqual(['team/**']);
  expect(warnings).toEqual([
    'environment:REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: warning: ignored, because the file sets store.path',
  ]);
});

test('htpasswd and its realm: users have what they have in registry:2', async () => {
  const folder = await tempDir();
  const file = join(folder, 'htpasswd');
  await writeFile(file, 'jo:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M=\n');
  const env = {
    REGISTRY_AUTH: 'htpasswd',
    REGISTRY_AUTH_HTPASSWD_REALM: 'My',
    REGISTRY_AUTH_HTPASSWD_PATH: file,
  };
  const plain = await load(env);
  expect([plain.config.access, plain.warnings]).toEqual([{ htpasswd: file, tokenTtlMs: 300_000 }, []]);
  expect(plain.config.hosted.repositories).toEqual(['**']);
  const deleting = await load({ ...env, REGISTRY_STORAGE_DELETE_ENABLED: 'true' });
  expect(deleting.config.access.rules).toMatchObject([
    { repositories: ['**'], users: ['*'], actions: ['pull', 'push', 'delete'] },
  ]);
  const mirror = await load({ ...env, REGISTRY_PROXY_REMOTEURL: 'http://registry.lan:5000' });
  expect(mirror.config.access.rules).toMatchObject([
    { repositories: ['**'], users: ['*'], actions: ['pull'] },
  ]);
  const off = await load({ ...env, REGISTRY_AUTH: 'none' });
  expect(off.config.access.htpasswd).toBeUndefined();
  await expect(load({ ...env, REGISTRY_AUTH_HTPASSWD_PATH: join(folder, 'none') })).rejects.toThrow(
    'access.htpasswd: ',
  );
});

test("other logins, client certificates and Let's Encrypt stop the start: going on without them would be less safe", async () => {
  for (const [variable, value, word] of [
    ['REGISTRY_AUTH', 'token', 'logins but those of htpasswd'],
    ['REGISTRY_AUTH_TOKEN_REALM', 'https://auth.lan/token', 'logins but those of htpasswd'],
    ['REGISTRY_HTTP_TLS_LETSENCRYPT_EMAIL', 'me@example.org', "Let's Encrypt"],
  ] as const)
    await expect(load({ [variable]: value })).rejects.toThrow(
      `environment:${variable}: this version has no ${word} yet`,
    );
});

test('REGISTRY_HTTP_TLS_CERTIFICATE and _KEY are http.tls; a file that sets it goes first', async () => {
  const folder = await tempDir();
  const { cert, key } = new CertificateAuthority(folder).issue();
  await writeFile(join(folder, 'domain.crt'), cert);
  await writeFile(join(folder, 'domain.key'), key);
  const tls = {
    REGISTRY_HTTP_TLS_CERTIFICATE: join(folder, 'domain.crt'),
    REGISTRY_HTTP_TLS_KEY: join(folder, 'domain.key'),
  };
  const { config } = await load(tls);
  expect(config.http.tls).toEqual({
    files: { certificate: tls.REGISTRY_HTTP_TLS_CERTIFICATE, key: tls.REGISTRY_HTTP_TLS_KEY },
    names: [],
  });
  expect(config.http.listen).toEqual([{ host: '::', port: 5000, tls: true }]);
  const overruled = await load(tls, 'http: { tls: auto }');
  expect(overruled.config.http.tls).toEqual({ names: [] });
  expect(overruled.warnings.join('\n')).toContain(
    'environment:REGISTRY_HTTP_TLS_KEY: warning: ignored, because the file sets http.tls',
  );
  await expect(load({ ...tls, REGISTRY_HTTP_TLS_CLIENTCAS_0: '/ca.pem' })).rejects.toThrow(
    'http.tls.client_ca',
  );
});

test('what Kubernetes sets for a service named registry is silent, and unknown variables are named', async () => {
  const kubernetes = await load({
    REGISTRY_PORT: 'tcp://10.0.0.1:5000',
    REGISTRY_PORT_5000_TCP_ADDR: '10.0.0.1',
    REGISTRY_SERVICE_HOST: '10.0.0.1',
  });
  expect(kubernetes.warnings).toEqual([]);
  expect(kubernetes.config.hosted.repositories).toEqual([]);
  const unknown = await load({ REGISTRY_STORAGE_S3_BUCKET: 'images' });
  expect(unknown.warnings).toEqual([
    'environment:REGISTRY_STORAGE_S3_BUCKET: warning: ignored, this variable of registry:2 has no setting here',
  ]);
  expect(unknown.config.hosted.repositories).toEqual([]);
});

test('images of registry:2 in the folder are named, with the command that brings them in', async () => {
  const folder = await tempDir();
  await mkdir(join(folder, 'docker/registry/v2/repositories'), { recursive: true });
  const { warnings } = await load({ REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder });
  expect(warnings).toEqual([
    `environment:REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: store.path: warning: it holds images of registry:2, which are left as they are; bring them in with: cistern import --from ${folder}`,
  ]);
});
