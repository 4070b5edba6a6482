/** `tls: auto`: when a certificate is made anew, and what becomes of a damaged authority. */
import { X509Certificate } from 'node:crypto';
import { chmod, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createLogger } from '../../../src/log.ts';
import { StoreLayout } from '../../../src/store/layout.ts';
import { TlsFiles } from '../../../src/store/tls-files.ts';
import { OwnCertificate, type OwnCertificateOptions } from '../../../src/tls/own-certificate.ts';
import { listOwnHosts } from '../../../src/tls/own-hosts.ts';
import { tempDir } from '../../support/temp-dir.ts';

const day = 86_400_000;
const logger = createLogger({ level: 'error', format: 'json', write: () => undefined });

async function rig() {
  const layout = await StoreLayout.open(await tempDir());
  const files = new TlsFiles(layout, { storeError: () => undefined });
  const state = { now: Date.now(), hosts: ['localhost', '127.0.0.1', '2001:db8::1'] };
  const options: OwnCertificateOptions = {
    files,
    hosts: () => state.hosts,
    machine: 'vm',
    logger,
    now: () => state.now,
  };
  return { files, state, options };
}

test('a certificate is made anew at two thirds of its life and for another name, by the same authority', async () => {
  const { files, state, options } = await rig();
  const own = await OwnCertificate.open(options);
  const first = own.pair;
  state.now += 260 * day;
  expect(await own.renewIfDue()).toBe(false);
  expect((await OwnCertificate.open(options)).pair).toEqual(first);
  state.now += 6 * day; // 266 of 397
  expect(await own.renewIfDue()).toBe(true);
  const second = own.pair;
  expect(second).not.toEqual(first);
  expect((await OwnCertificate.open(options)).pair).toEqual(second);
  state.hosts = [...state.hosts, 'mirror.lan'];
  expect(await own.renewIfDue()).toBe(true);
  const leaf = new X509Certificate(own.pair.certificate);
  expect(leaf.checkHost('mirror.lan')).toBe('mirror.lan');
  expect(leaf.checkIP('2001:db8::1')).toBe('2001:db8::1');
  const authority = new X509Certificate(own.authority.certificate);
  expect(leaf.checkIssued(authority) && leaf.verify(authority.publicKey)).toBe(true);
  expect(Date.parse(authority.validTo) - Date.parse(authority.validFrom)).toBeGreaterThan(3650 * day);
  expect((await readdir(files.folder)).sort()).toEqual(['ca.key', 'ca.pem', 'server.key', 'server.pem']);
  expect((await stat(files.folder)).mode & 0o777).toBe(0o700);
});

test('a certificate never outlives its authority, and is not made again and again at its end', async () => {
  const { state, options } = await rig();
  const own = await OwnCertificate.open(options);
  state.now += 3500 * day;
  expect(await own.renewIfDue()).toBe(true);
  const end = new X509Certificate(own.authority.certificate).validTo;
  expect(new X509Certificate(own.pair.certificate).validTo).toBe(end);
  state.now += 140 * day;
  expect(await own.renewIfDue()).toBe(false);
});

test.each([
  ['ca.key', undefined, 'ca.key is missing'],
  ['ca.pem', undefined, 'ca.pem is missing'],
  ['ca.pem', 'x', 'ca.pem cannot be used'],
] as const)(
  '%s as %s stops the start: another authority would lock clients out',
  async (name, text, reason) => {
    const { files, options } = await rig();
    await OwnCertificate.open(options);
    const path = join(files.folder, name);
    if (text === undefined) await rm(path);
    else await writeFile(path, text);
    await expect(OwnCertificate.open(options)).rejects.toThrow(reason);
  },
);

test('a damaged server certificate is made anew', async () => {
  const { files, options } = await rig();
  const first = await OwnCertificate.open(options);
  await writeFile(join(files.folder, 'server.pem'), first.pair.certificate.slice(0, 100));
  await chmod(join(files.folder, 'server.pem'), 0o600);
  const second = await OwnCertificate.open(options);
  expect(second.authority).toEqual(first.authority);
  expect(second.pair).not.toEqual(first.pair);
});

test('the hosts of a certificate: all under which a client may reach the mirror', () => {
  const interfaces = {
    eth0: ['10.0.0.5', 'fe80::1'].map(address => ({
      address,
      netmask: '',
      mac: '',
      internal: false,
      family: 'IPv4' as const,
      cidr: null,
    })),
  };
  const base = { hostname: 'Box', interfaces, names: ['registry.lan:5000', '[2001:db8::2]:5000'] };
  const own = ['localhost', '127.0.0.1', '::1', 'box'];
  const further = ['registry.lan', '2001:db8::2'];
  expect(listOwnHosts({ ...base, publicUrl: 'https://mirror.lan:8443', listen: [{ host: '::' }] })).toEqual([
    ...own,
    'mirror.lan',
    ...further,
    '10.0.0.5',
  ]);
  expect(listOwnHosts({ ...base, listen: [{ host: '192.0.2.7' }] })).toEqual([
    ...own,
    ...further,
    '192.0.2.7',
  ]);
});
