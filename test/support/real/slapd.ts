/**
 * OpenLDAP's slapd with a small directory: ann, who is in no group, bob, who is in registry-push, and an account that may search. No other
 * account may read, and none may write. Over ldaps; with `plain` also over ldap, where StartTLS can be asked for.
 */
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { vi } from 'vitest';
import type { CertificateAuthority } from '../certificates.ts';
import { unusedPort } from '../ports.ts';
import { type SpawnedProcess, spawnProcess } from '../process.ts';
import { commandOutput } from './command.ts';

const base = 'dc=example,dc=com';
const searcher = `cn=registry,${base}`;

export interface DirectoryOptions {
  /** Further entries, as LDIF. */
  readonly ldif?: string;
  /** Further lines of the database's configuration, such as indexes. */
  readonly lines?: readonly string[];
  /** Lines before the database's. */
  readonly globals?: readonly string[];
  /** The whole rule of access instead of the usual one. */
  readonly access?: string;
  /** Over ldap alone, and StartTLS is refused. */
  readonly withoutTls?: boolean;
  /** Also over ldap. */
  readonly plain?: boolean;
}

export class Directory {
  /** Of the account that may search. */
  static readonly password = 'may search';
  static readonly base = base;
  static readonly searcher = searcher;
  /** ldaps. */
  readonly url: string;
  /** ldap; the port answers only with `plain`. */
  readonly plainUrl: string;
  readonly #config: string;
  readonly #urls: string;
  #slapd: SpawnedProcess | undefined;

  private constructor(urls: { url: string; plainUrl: string }, config: string, addresses: readonly string[]) {
    this.url = urls.url;
    this.plainUrl = urls.plainUrl;
    this.#config = config;
    this.#urls = addresses.join(' ');
  }

  /** For the running test: it ends with it. */
  static async start(
    folder: string,
    authority: CertificateAuthority,
    options: DirectoryOptions = {},
  ): Promise<Directory> {
    const { cert, key } = authority.issue();
    const data = join(folder, 'data');
    await mkdir(data);
    await writeFile(join(folder, 'slapd.pem'), cert);
    await writeFile(join(folder, 'slapd.key'), key);
    const config = join(folder, 'slapd.conf');
    await writeFile(config, slapdConfig(folder, data, authority.caFile, options));
    const entries = join(folder, 'entries.ldif');
    await writeFile(entries, `${ldif()}\n${options.ldif ?? ''}`);
    await commandOutput(['slapadd', '-q', '-f', config, '-l', entries]);
    // Not localhost: libldap compares the certificate with the machine's own name then.
    const urls = {
      url: `ldaps://127.0.0.1:${await unusedPort()}`,
      plainUrl: `ldap://127.0.0.1:${await unusedPort()}`,
    };
    const addresses = [
      ...(options.withoutTls === true ? [] : [urls.url]),
      ...(options.plain === true ? [urls.plainUrl] : []),
    ];
    const directory = new Directory(urls, config, addresses);
    await directory.run();
    return directory;
  }

  /** Again after `stop`. */
  async run(): Promise<void> {
    this.#slapd = spawnProcess('slapd', ['-f', this.#config, '-h', this.#urls, '-d', '256']);
    await this.#slapd.waitFor(line => (line.includes('slapd starting') ? line : undefined));
    for (const url of this.#urls.split(' ')) await vi.waitFor(() => connects(Number(new URL(url).port)));
  }

  async stop(): Promise<void> {
    await this.#slapd?.stop();
  }

  /** By LDIF with `changetype`; stops and starts it. */
  async change(ldif: string): Promise<void> {
    await this.stop();
    const path = `${this.#config}.change`;
    await writeFile(path, ldif);
    await commandOutput(['slapmodify', '-f', this.#config, '-l', path]);
    await this.run();
  }

  /** It takes connections and says nothing, until `run` or the end of the test. */
  hang(): void {
    this.#slapd?.signal('SIGSTOP');
  }

  /** What it was asked since it runs, without unbinds. */
  get operations(): readonly string[] {
    return (this.#slapd?.lines ?? []).filter(line => / (?:BIND dn|SRCH base|EXT oid)/.test(line));
  }
}

/** slapd says that it starts before it listens. */
async function connects(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
  } finally {
    socket.destroy();
  }
}

/** A person below ou=people. */
export function personLdif(uid: string, password: string, more: readonly string[] = []): string {
  return [
    `dn: uid=${uid},ou=people,${base}`,
    'objectClass: inetOrgPerson',
    `cn: ${uid}`,
    `sn: ${uid}`,
    `uid: ${uid}`,
    `userPassword: ${password}`,
    ...more,
    '',
    '',
  ].join('\n');
}

/** A group below ou=groups. */
export function groupLdif(cn: string, members: readonly string[]): string {
  return [
    `dn: cn=${cn},ou=groups,${base}`,
    'objectClass: groupOfNames',
    `cn: ${cn}`,
    ...members.map(uid => `member: uid=${uid},ou=people,${base}`),
    '',
    '',
  ].join('\n');
}

/** 5,000 groups, group-0 and so on, and bob in every 25th: 200 of them. */
export function manyGroups(): DirectoryOptions {
  const names = Array.from({ length: 5000 }, (_, at) =>
    groupLdif(`group-${at}`, [at % 25 === 0 ? 'bob' : 'ann']),
  );
  return { ldif: names.join(''), lines: ['index objectClass,uid,cn,member eq'] };
}

function slapdConfig(folder: string, data: string, caFile: string, options: DirectoryOptions): string {
  const schemas = ['core', 'cosine', 'inetorgperson'].map(name => `include /etc/ldap/schema/${name}.schema`);
  const tls = [
    `TLSCACertificateFile ${caFile}`,
    `TLSCertificateFile ${join(folder, 'slapd.pem')}`,
    `TLSCertificateKeyFile ${join(folder, 'slapd.key')}`,
  ];
  return [
    ...schemas,
    `pidfile ${join(folder, 'slapd.pid')}`,
    'modulepath /usr/lib/ldap',
    'moduleload back_mdb',
    'moduleload memberof',
    ...(options.withoutTls === true ? [] : tls),
    ...(options.globals ?? []),
    'database mdb',
    'maxsize 104857600',
    `suffix "${base}"`,
    `directory ${data}`,
    ...(options.lines ?? []),
    options.access ?? `access to * by dn.exact="${searcher}" read by anonymous auth by * none`,
    'overlay memberof',
    '',
  ].join('\n');
}

function ldif(): string {
  const unit = (name: string) => [`dn: ou=${name},${base}`, 'objectClass: organizationalUnit', ''];
  return [
    ...[`dn: ${base}`, 'objectClass: dcObject', 'objectClass: organization', 'o: Example', ''],
    ...unit('people'),
    ...unit('groups'),
    ...[`dn: ${searcher}`, 'objectClass: organizationalRole', 'objectClass: simpleSecurityObject'],
    ...[`userPassword: ${Directory.password}`, ''],
    personLdif('ann', 'pull') + personLdif('bob', 'push') + groupLdif('registry-push', ['bob']),
  ].join('\n');
}
