/**
 * OpenLDAP's slapd with a small directory, over ldaps alone: ann, who is in no group, bob, who is in registry-push, and an
 * account that may search. No other account may read, and none may write.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CertificateAuthority } from '../certificates.ts';
import { unusedPort } from '../ports.ts';
import { spawnProcess } from '../process.ts';
import { commandOutput } from './command.ts';

const base = 'dc=example,dc=com';
const searcher = `cn=registry,${base}`;

export class Directory {
  /** Of the account that may search. */
  static readonly password = 'may search';
  readonly url: string;

  private constructor(url: string) {
    this.url = url;
  }

  /** For the running test: it ends with it. */
  static async start(folder: string, authority: CertificateAuthority): Promise<Directory> {
    const { cert, key } = authority.issue();
    const data = join(folder, 'data');
    await mkdir(data);
    await writeFile(join(folder, 'slapd.pem'), cert);
    await writeFile(join(folder, 'slapd.key'), key);
    const config = join(folder, 'slapd.conf');
    await writeFile(config, slapdConfig(folder, data, authority.caFile));
    const entries = join(folder, 'entries.ldif');
    await writeFile(entries, ldif());
    await commandOutput(['slapadd', '-f', config, '-l', entries]);
    // Not localhost: libldap compares the certificate with the machine's own name then.
    const url = `ldaps://127.0.0.1:${await unusedPort()}`;
    const slapd = spawnProcess('slapd', ['-f', config, '-h', url, '-d', '256']);
    await slapd.waitFor(line => (line.includes('slapd starting') ? line : undefined));
    return new Directory(url);
  }
}

function slapdConfig(folder: string, data: string, caFile: string): string {
  const schemas = ['core', 'cosine', 'inetorgperson'].map(name => `include /etc/ldap/schema/${name}.schema`);
  return [
    ...schemas,
    `pidfile ${join(folder, 'slapd.pid')}`,
    'modulepath /usr/lib/ldap',
    'moduleload back_mdb',
    `TLSCACertificateFile ${caFile}`,
    `TLSCertificateFile ${join(folder, 'slapd.pem')}`,
    `TLSCertificateKeyFile ${join(folder, 'slapd.key')}`,
    'database mdb',
    'maxsize 10485760',
    `suffix "${base}"`,
    `directory ${data}`,
    `access to * by dn.exact="${searcher}" read by anonymous auth by * none`,
    '',
  ].join('\n');
}

function ldif(): string {
  const person = (uid: string, password: string) => [
    `dn: uid=${uid},ou=people,${base}`,
    'objectClass: inetOrgPerson',
    `cn: ${uid}`,
    `sn: ${uid}`,
    `userPassword: ${password}`,
    '',
  ];
  const unit = (name: string) => [`dn: ou=${name},${base}`, 'objectClass: organizationalUnit', ''];
  return [
    ...[`dn: ${base}`, 'objectClass: dcObject', 'objectClass: organization', 'o: Example', ''],
    ...unit('people'),
    ...unit('groups'),
    ...[`dn: ${searcher}`, 'objectClass: organizationalRole', 'objectClass: simpleSecurityObject'],
    ...[`userPassword: ${Directory.password}`, ''],
    ...person('ann', 'pull'),
    ...person('bob', 'push'),
    ...[`dn: cn=registry-push,ou=groups,${base}`, 'objectClass: groupOfNames'],
    ...[`member: uid=bob,ou=people,${base}`, ''],
  ].join('\n');
}
