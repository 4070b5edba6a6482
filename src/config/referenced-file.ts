/**
 * Reads the files that a configuration names: `password_file`, `ca_file`, `client_cert`, `client_key`,
 * `secret_file`, `bind_password_file`, `htpasswd`, and those of `http.tls`. A file that can't be
 * used is a finding at the key that names it. No message shows what is in them.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Findings } from './findings.ts';
import { homeHint, isHome } from './hints/surprises.ts';
import { formatPath, isSection, type Path, ValueError, valueAt } from './problem.ts';
import { tlsSections } from './sections/tls.ts';

const keysOfFiles = [
  ['password_file', parsePassword],
  ['sentinel_password_file', parsePassword],
  ['secret_file', parsePassword],
  ['bind_password_file', parsePassword],
  ['ca_file', parseCertificates],
  ['client_cert', parseCertificates],
  ['client_key', parseKey],
  ['certificate', parseCertificates],
  ['key', parseKey],
  ['client_ca', parseCertificates],
  ['htpasswd', (text: string) => text], // only to find out at start that it can't be read; it is watched later
] as const;

/** Text by the formatted path of the key that names the file. `baseOf`: what a relative path at a key is relative to. */
export async function readReferencedFiles(
  tree: unknown,
  baseOf: (path: Path) => string,
  findings: Findings,
  /** Names of keys whose file need not be there. */
  mayLack: readonly string[] = [],
): Promise<ReadonlyMap<string, string>> {
  const texts = new Map<string, string>();
  const upstreams = valueAt(tree, ['upstreams']);
  const hosts = Object.keys(isSection(upstreams) ? upstreams : {});
  for (const section of [
    ...hosts.flatMap(host => sectionsOf(tree, ['upstreams', host])),
    ['lru', 'redis'],
    ...tlsSections(tree),
    ['fleet'],
    ['access'],
    ...entriesOf(tree, ['notifications']),
    ['access', 'ldap'],
  ]) {
    for (const [name, parse] of keysOfFiles) {
      const path = [...section, name];
      const file = valueAt(tree, path);
      if (typeof file !== 'string' || file === '') continue;
      try {
        texts.set(formatPath(path), parse(await readFile(resolve(baseOf(path), file), 'utf8')));
      } catch (error) {
        const reason = error instanceof ValueError ? error.message : describeReadError(error);
        if (mayLack.includes(name) && reason === 'no such file') continue;
        const hint = isHome(file) ? `; ~ is not expanded here, ${homeHint}` : '';
        findings.report(path, `${file}: ${reason}${hint}`);
      }
    }
  }
  for (const host of hosts) checkKeyPair(['upstreams', host], texts, findings);
  return texts;
}

/** An upstream's section, and those of its credentials by repository. */
function sectionsOf(tree: unknown, path: Path): Path[] {
  return [path, ...entriesOf(tree, [...path, 'credentials'])];
}

function entriesOf(tree: unknown, path: Path): Path[] {
  const list = valueAt(tree, path);
  return Array.isArray(list) ? list.map((_entry, index) => [...path, index]) : [];
}

function checkKeyPair(path: Path, texts: ReadonlyMap<string, string>, findings: Findings): void {
  const certificate = texts.get(formatPath([...path, 'client_cert']));
  const key = texts.get(formatPath([...path, 'client_key']));
  if (certificate === undefined || key === undefined) return;
  if (new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))) return;
  findings.report([...path, 'client_key'], 'is not the key of the certificate in client_cert');
}

/** Why a file could not be read, in words. Rethrows what isn't the file system's answer. */
export function describeReadError(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) throw error;
  switch (error.code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return 'no such file';
    case 'EACCES':
    case 'EPERM':
      return 'no permission to read it';
    case 'EISDIR':
      return 'expected a file, got a folder';
    default:
      return `can't be read (${String(error.code)})`;
  }
}

/** Errors: `ValueError`. */
export function parsePassword(text: string): string {
  const password = text.replace(/\r?\n$/, '');
  if (password === '') throw new ValueError('expected a password in it, got an empty file');
  return password;
}

/** PEM, without a passphrase. */
function parseKey(text: string): string {
  try {
    createPrivateKey(text);
    return text;
  } catch {
    throw new ValueError('expected a private key in PEM form, without a passphrase');
  }
}

/** PEM, one certificate or several. */
function parseCertificates(text: string): string {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new ValueError('expected certificates in PEM form, got none');
  for (const [index, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch {
      throw new ValueError(`certificate ${index + 1} of ${blocks.length} is damaged`);
    }
  }
  return text;
}
