/** `cistern certs`: what it prints for an authority of the mirror's own, for files, and when there is nothing to print. */
import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runCerts } from '../../../../src/cli/client/certs.ts';
import { CertificateAuthority } from '../../../support/certificates.ts';
import { ConfigFolder } from '../../config/config-folder.ts';

let folder: ConfigFolder;

beforeEach(async () => {
  folder = await ConfigFolder.create();
});

afterEach(async () => {
  await folder.remove();
});

async function run(text: string, options: { url?: string; json?: boolean } = {}) {
  await folder.write('mirror.yml', text);
  const [output, errors]: [string[], string[]] = [[], []];
  const code = await runCerts({
    env: {},
    cwd: folder.path,
    interfaces: () => ({}),
    write: line => void output.push(line),
    writeError: line => void errors.push(line),
    ...options,
  });
  return { code, output: output.join(''), errors: errors.join('') };
}

const auto = 'http: { tls: auto, public_url: "https://mirror.lan:5000" }\nstore: { path: . }';

test('an authority of its own: where it is, its fingerprint, and the commands of each client', async () => {
  const { caPem } = new CertificateAuthority(folder.path);
  await folder.write('tls-v1/ca.pem', caPem);
  const { code, output } = await run(auto);
  expect(code).toBe(0);
  expect(output).toContain('curl -fsSko ca.pem https://mirror.lan:5000/ca.pem');
  expect(output).toContain(new X509Certificate(caPem).fingerprint256);
  for (const part of [
    '/etc/docker/certs.d/mirror.lan:5000/ca.crt',
    '/etc/containers/certs.d/mirror.lan:5000/ca.crt',
    '/etc/containerd/certs.d/mirror.lan:5000/hosts.toml',
    'update-ca-certificates',
    'update-ca-trust',
    '# macOS (not run here)',
    '# Windows, in a shell of an administrator (not run here)',
  ])
    expect(output).toContain(part);
  const json = JSON.parse((await run(auto, { json: true })).output);
  expect(json).toMatchObject({ url: 'https://mirror.lan:5000', isOwn: true });
  expect(json.clients).toHaveLength(7);
});

test('certificates from files: whose issuer clients have to know', async () => {
  const { cert, key } = new CertificateAuthority(folder.path).issue();
  await folder.write('c.pem', cert);
  await folder.write('k.pem', key);
  const { code, output } = await run(
    'http: { listen: "192.0.2.1:443", tls: { certificate: c.pem, key: k.pem } }',
  );
  expect(code).toBe(0);
  expect(output).toContain('# Its issuer: CN=Test authority.');
  expect(output).not.toContain('curl');
  expect(output).toContain('https://192.0.2.1 shows');
});

test('nothing to print: no TLS, or no start yet', async () => {
  expect(await run('')).toMatchObject({ code: 2, errors: expect.stringContaining('http.tls is not set') });
  expect(await run(auto)).toMatchObject({
    code: 1,
    errors: expect.stringContaining('start the mirror once'),
  });
});
