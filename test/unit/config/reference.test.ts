import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseDocument } from 'yaml';
import { formatPath, type Path, valueAt } from '../../../src/config/problem.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { settingsOf } from '../../../src/config/schema-check.ts';
import { CertificateAuthority } from '../../support/certificates.ts';
import { ConfigFolder } from './config-folder.ts';

const shipped = await readFile(new URL('../../../mirror.yml', import.meta.url), 'utf8');
/** Every setting of the reference in force: a # without a blank after it is taken away. */
const uncommented = shipped.replaceAll(/^( *)#(?=\S)/gm, '$1');
/** They can't stand beside `url`, `password_file` and `secret` of the same section; they are in comments. */
const alternatives = [
  'http.tls.auto',
  'lru.redis.sentinels',
  'lru.redis.sentinel_name',
  'lru.redis.cluster',
  'lru.redis.password',
  'lru.redis.sentinel_username',
  'lru.redis.sentinel_password',
  'lru.redis.sentinel_password_file',
  'lru.redis.database',
  'lru.redis.tls',
  'upstreams.docker.io.password',
  'upstreams.docker.io.credential_helper',
  'access.ldap.user_dn',
  'fleet.secret_file',
];
/** They stop the start with a sentence about their successor. */
const gone = ['fleet.hosted_on'];

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

async function writeSecrets(): Promise<void> {
  await folder.write('docker.io.password', 'p\n');
  await folder.write('redis.password', 'r\n');
  await folder.write('ldap.password', 'l\n');
}

async function writeCertificates(): Promise<CertificateAuthority> {
  const authority = new CertificateAuthority(folder.path);
  const { cert, key } = authority.issue();
  await folder.write('client.pem', cert);
  await folder.write('client.key', key);
  await folder.write('tls.pem', cert);
  await folder.write('tls.key', key);
  await folder.write('client-ca.pem', authority.caPem);
  return authority;
}

function isMentioned(tree: unknown, path: Path): boolean {
  const [last] = path.slice(-1);
  const holder = valueAt(tree, path.slice(0, -1));
  return typeof holder === 'object' && holder !== null && last !== undefined && Object.hasOwn(holder, last);
}

describe('the shipped mirror.yml', () => {
  it('is the defaults with the four large registries', async () => {
    const { config: defaults } = await folder.load();
    const { config, warnings } = await folder.load(shipped);
    expect(warnings).toEqual([]);
    expect([...config.upstreams.keys()]).toEqual(['docker.io', 'ghcr.io', 'quay.io', 'registry.k8s.io']);
    expect(config.upstreams.get('docker.io')).toEqual(defaults.upstreams.get('docker.io'));
    expect({ ...config, upstreams: undefined }).toEqual({ ...defaults, upstreams: undefined });
  });

  it('shows every setting, and none that does not exist', () => {
    const settings = settingsOf(configSchema, ['docker.io']);
    const tree: unknown = parseDocument(uncommented).toJS();
    const missing = settings.filter(path => !isMentioned(tree, path)).map(formatPath);
    expect(missing).toEqual([...alternatives, ...gone]);
    const comments = shipped.replaceAll(/^ *[^ #].*$/gm, '');
    for (const path of alternatives) expect(comments).toContain(` ${path.split('.').at(-1)}`);
  });

  it('has every setting commented that is a default, so that taking the # away changes nothing', async () => {
    await writeSecrets();
    await folder.write('htpasswd', '');
    await writeCertificates();
    const examples =
      /^ *(public_url|username|password_file|ca_file|client_cert|client_key|prefix|proxy|min_free|htpasswd|endpoint): .*\n|^ {2}(?:tls|accel):\n(?: {4}.*\n)*|^ {2}redis:\n(?: {4}.*\n)*/gm;
    const { config: defaults } = await folder.load(shipped);
    const { config } = await folder.load(withoutLater(uncommented).replaceAll(examples, ''));
    expect(config).toEqual({ ...defaults, access: config.access }); // its rules are an example too
  });

  it('has examples that work', async () => {
    await writeSecrets();
    await folder.write('htpasswd', '');
    const { caPem } = await writeCertificates();
    const { config } = await folder.load(withoutLater(uncommented).replace('share: public', 'share: all'));
    expect(config.http.publicUrl).toBe('https://mirror.lan');
    expect(config.http.tls).toMatchObject({ names: [], clients: { areRequired: false } });
    expect(config.store.minFreeBytes).toBe(2 * 2 ** 30);
    expect(config.lru.redis).toMatchObject({ mode: 'single', username: 'cistern', password: 'r', ca: caPem });
    expect(config.upstreams.get('docker.io')).toMatchObject({
      username: 'someone',
      password: 'p',
      share: 'all',
      ca: caPem,
      proxy: { https: new URL('http://proxy.lan:3128') },
    });
  });
});

function withoutLater(text: string): string {
  const sections = /^(fleet):\n(?: +.*\n)*/gm;
  const single = /^ *(patterns): .*\n/gm;
  return text.replaceAll(sections, '').replaceAll(single, '');
}
