/**
 * How an upstream is logged in to: a user name and password, a helper, several credentials by repository, a client
 * certificate. The rules between these keys, and what becomes of them.
 */

import type { CredentialsConfig, UpstreamConfig } from './config.ts';
import { checkPassword, type Findings } from './findings.ts';
import type { Remark } from './hints/surprises.ts';
import { formatPath, isSection, type Path } from './problem.ts';
import type { ParsedUpstream } from './schema.ts';

type Section = Readonly<Record<string, unknown>>;

export function checkCredentials(path: Path, entry: Section, findings: Findings): void {
  const isGiven = (name: string): boolean => entry[name] !== undefined;
  checkPassword(path, entry, '', findings);
  const password = ['password', 'password_file'].find(isGiven);
  if (password !== undefined && !isGiven('username'))
    findings.report([...path, password], 'needs a username', 'key');
  if (isGiven('credential_helper') && isGiven('username')) {
    const message = 'give either credential_helper or username, not both';
    findings.report([...path, 'credential_helper'], message, 'key');
  }
  if (isGiven('client_cert') !== isGiven('client_key')) {
    const [given, missing] = isGiven('client_cert')
      ? ['client_cert', 'client_key']
      : ['client_key', 'client_cert'];
    findings.report([...path, given ?? ''], `needs ${missing}`, 'key');
  }
  const list = entry['credentials'];
  for (const [index, item] of (Array.isArray(list) ? list : []).entries())
    if (isSection(item)) checkPassword([...path, 'credentials', index], item, '', findings);
}

export interface CredentialFiles {
  /** Text by the formatted path of the key that names the file. */
  readonly texts: ReadonlyMap<string, string>;
  /** Absolute. */
  locate(path: Path, file: string): string;
}

/** `path`: of the upstream's section as it is written. */
export function assembleCredentials(
  path: Path,
  parsed: ParsedUpstream,
  files: CredentialFiles,
): Pick<
  UpstreamConfig,
  'username' | 'password' | 'passwordFile' | 'credentialHelper' | 'credentials' | 'clientCertificate'
> {
  const { username, credential_helper: helper, credential_helper_ttl: ttlMs } = parsed;
  const certificate = files.texts.get(formatPath([...path, 'client_cert']));
  const key = files.texts.get(formatPath([...path, 'client_key']));
  return {
    ...(username !== undefined && { username }),
    ...assemblePassword(path, parsed, files),
    ...(helper !== undefined && { credentialHelper: { name: helper, ttlMs } }),
    credentials: parsed.credentials.flatMap((item, index): CredentialsConfig[] => {
      const { password, passwordFile } = assemblePassword([...path, 'credentials', index], item, files);
      if (password === undefined) return []; // a finding
      const { repositories, username: user } = item;
      return [
        { repositories, username: user, password, ...(passwordFile !== undefined && { passwordFile }) },
      ];
    }),
    ...(certificate !== undefined && key !== undefined && { clientCertificate: { certificate, key } }),
  };
}

function assemblePassword(
  path: Path,
  { password, password_file: file }: { password?: string | undefined; password_file?: string | undefined },
  { texts, locate }: CredentialFiles,
): { readonly password?: string; readonly passwordFile?: string } {
  if (password !== undefined) return { password };
  const filePath = [...path, 'password_file'];
  const text = texts.get(formatPath(filePath));
  return file === undefined || text === undefined
    ? {}
    : { password: text, passwordFile: locate(filePath, file) };
}

export function warnAboutCredentials({
  key,
  url,
  insecure,
  share,
  username,
  credentials,
  credentialHelper,
  clientCertificate,
}: UpstreamConfig): readonly Remark[] {
  const remarks: Remark[] = [];
  const name =
    username !== undefined
      ? 'username'
      : credentialHelper !== undefined
        ? 'credential_helper'
        : 'credentials';
  if (username !== undefined || credentials.length > 0 || credentialHelper !== undefined) {
    const path = ['upstreams', key, name];
    if (url.protocol === 'http:') remarks.push([path, 'its password is sent over plain HTTP']);
    else if (insecure)
      remarks.push([path, 'its password is sent over TLS without a certificate check (insecure)']);
  }
  if (clientCertificate !== undefined && share !== 'all') {
    const message = 'what it opens counts as public and goes to every client that access.rules let pull';
    remarks.push([['upstreams', key, 'client_cert'], `${message}; share: all says that you know`]);
  }
  return remarks;
}
