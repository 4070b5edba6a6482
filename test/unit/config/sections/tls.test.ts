/** `http.tls`: the rules between its keys, and certificates that can't be used, each at its place. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CertificateAuthority } from '../../../support/certificates.ts';
import { ConfigFolder } from '../config-folder.ts';

let folder: ConfigFolder;
let authority: CertificateAuthority;

beforeEach(async () => {
  folder = await ConfigFolder.create();
  authority = new CertificateAuthority(folder.path);
  const { cert, key } = authority.issue();
  await folder.write('c.pem', cert);
  await folder.write('k.pem', key);
});

afterEach(async () => {
  await folder.remove();
});

test('auto, alone or as a key, and from the environment', async () => {
  for (const text of ['http: { tls: auto }', 'http: { tls: { auto: true } }'])
    expect((await folder.load(text)).config.http.tls, text).toEqual({ names: [] });
  const { config } = await folder.load(undefined, { CISTERN_HTTP_TLS: 'auto' });
  expect(config.http).toMatchObject({ tls: { names: [] }, listen: [{ host: '::', port: 5000, tls: true }] });
  expect(
    (await folder.load('http: { tls: { auto: false, certificate: c.pem, key: k.pem } }')).config.http.tls,
  ).toMatchObject({ files: {} });
});

test('listeners speak TLS where it is set, each as it says', async () => {
  const text = `http:
  tls: auto
  listen: [":1", { address: ":2", tls: false, login: off }, { address: ":3", tls: true, login: on }]`;
  expect((await folder.load(text)).config.http.listen).toEqual([
    { host: '::', port: 1, tls: true },
    { host: '::', port: 2, login: false },
    { host: '::', port: 3, tls: true },
  ]);
  const plain = 'http: { listen: [{ address: ":1", tls: false }, { address: ":2", login: on }] }';
  expect((await folder.load(plain)).config.http.listen).toEqual([
    { host: '::', port: 1 },
    { host: '::', port: 2 },
  ]);
});

test.each([
  ['http: { listen: [{ address: ":1", tls: true }] }', '1:40: http.listen[0].tls: needs http.tls'],
  [
    'http: { listen: [{ address: ":1", login: no }] }',
    '1:42: http.listen[0].login: expected on or off, got "no"',
  ],
  ['http: { tls: { certificate: c.pem } }', '1:16: http.tls.certificate: needs key'],
  ['http: { tls: { key: k.pem } }', '1:16: http.tls.key: needs certificate'],
  [
    'http: { tls: { auto: true, certificate: c.pem, key: k.pem } }',
    '1:28: http.tls.certificate: cannot be used together with auto',
  ],
  ['http: { tls: { names: [] } }', '1:9: http.tls: needs certificate and key, or auto: true'],
  ['http: { tls: { auto: true, client_auth: required } }', '1:28: http.tls.client_auth: needs client_ca'],
  ['http: { tls: on }', '1:14: http.tls: expected auto, or a section with certificate and key, got "on"'],
  [
    'http: { tls: { certificate: none.pem, key: k.pem } }',
    '1:29: http.tls.certificate: none.pem: no such file',
  ],
  [
    'http: { tls: { certificate: k.pem, key: k.pem } }',
    '1:29: http.tls.certificate: k.pem: expected certificates in PEM form, got none',
  ],
  [
    'http: { tls: { certificate: c.pem, key: other.pem } }',
    '1:41: http.tls.key: is not the key of the certificate',
  ],
  [
    'http: { tls: { certificate: old.pem, key: old.key } }',
    '1:29: http.tls.certificate: the certificate expired at ',
  ],
  [
    'http: { tls: { certificate: c.pem, key: k.pem, names: [{ host: a.lan, certificate: c.pem, key: k.pem }] } }',
    '1:84: http.tls.names[0].certificate: the certificate is not for a.lan',
  ],
  [
    'http: { tls: { certificate: c.pem, key: k.pem, names: [{ host: "a:1", certificate: c.pem, key: k.pem }] } }',
    '1:64: http.tls.names[0].host: expected a host name',
  ],
  [
    'http: { tls: { certificate: half.pem, key: k.pem } }',
    '1:29: http.tls.certificate: no whole certificate in PEM form',
  ],
])('mistake %# is refused at its place', async (text, problem) => {
  await folder.write('other.pem', authority.issue().key);
  const old = authority.issue(undefined, { days: -1 });
  await folder.write('old.pem', old.cert);
  await folder.write('old.key', old.key);
  const { cert } = authority.issue();
  await folder.write('half.pem', `${cert}${authority.caPem.slice(0, 200)}`);
  expect((await folder.problems(text)).join('\n')).toContain(`mirror.yml:${problem}`);
});
