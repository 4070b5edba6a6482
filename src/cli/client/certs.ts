/**
 * `cistern certs`: which authority clients have to trust for the mirror's HTTPS, and how each kind of client does. It reads the
 * configuration and the certificate, and doesn't use the network.
 */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { type LoadOptions, loadConfig } from '../../config/load.ts';
import { ConfigError } from '../../config/problem.ts';
import { describeReadError } from '../../config/referenced-file.ts';
import { tlsFolderOf } from '../../store/layout.ts';
import { describeForClients, findMirrorUrl, type NetworkInterfaces } from './mirror-url.ts';
import { listTrustSteps, type TrustStep } from './trust.ts';

export interface CertsOptions extends LoadOptions {
  /** `--url`. */
  readonly url?: string;
  readonly json?: boolean;
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** Left out: those of this machine. */
  readonly interfaces?: () => NetworkInterfaces;
}

interface Shown {
  /** Of the authority with `tls: auto`, else of the mirror. Absolute. */
  readonly file: string;
  readonly certificate: X509Certificate;
  readonly isOwn: boolean;
}

/** Resolves with the exit code: 0 printed, 1 there is no certificate to read, 2 not possible as configured. */
export async function runCerts(options: CertsOptions): Promise<number> {
  const { json, write, writeError, url: given, interfaces = networkInterfaces } = options;
  try {
    const { config, source } = await loadConfig(options);
    const { http, store } = config;
    if (http.tls === undefined) {
      writeError(
        `http.tls is not set (${source}): this mirror speaks plain HTTP, and clients need no certificate\n`,
      );
      return 2;
    }
    const { files } = http.tls;
    const file = files?.certificate ?? join(tlsFolderOf(store.path), 'ca.pem');
    const text = await readFile(file, 'utf8').catch(describeReadError);
    if (!text.includes('BEGIN CERTIFICATE')) {
      writeError(`${file}: ${text}; start the mirror once, and run this as the same user\n`);
      return 1;
    }
    const shown = { file, certificate: new X509Certificate(text), isOwn: files === undefined };
    const secure = { ...http, listen: http.listen.filter(({ tls }) => tls === true) };
    const { url } = findMirrorUrl({ given, http: secure, interfaces });
    const mirror = describeForClients(config, url);
    const steps = listTrustSteps(mirror.host);
    write(json === true ? formatJson(shown, mirror.url, steps) : formatText(shown, mirror.url, steps));
    return 0;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    writeError(`${error.message}\n`);
    return 2;
  }
}

function formatJson({ file, certificate, isOwn }: Shown, url: string, clients: readonly TrustStep[]): string {
  const { fingerprint256, validTo, issuer } = certificate;
  const shown = {
    url,
    file,
    isOwn,
    issuer,
    fingerprint256,
    validTo: new Date(validTo).toISOString(),
    clients,
  };
  return `${JSON.stringify(shown, undefined, 2)}\n`;
}

function formatText(shown: Shown, url: string, steps: readonly TrustStep[]): string {
  const sections = steps.map(({ clients, commands, notes, wasRun }) =>
    [
      `# ${clients}${wasRun ? '' : ' (not run here)'}`,
      ...notes.map(note => `# ${note}`),
      ...commands,
      '',
    ].join('\n'),
  );
  return [...formatHead(shown, url), '', ...sections].join('\n');
}

function formatHead({ file, certificate, isOwn }: Shown, url: string): string[] {
  const until = new Date(certificate.validTo).toISOString().slice(0, 10);
  if (!isOwn) {
    return [
      `# ${url} shows the certificate in ${file}, valid until ${until}.`,
      `# Its issuer: ${certificate.issuer.replaceAll('\n', ', ')}.`,
      '# Clients that know this issuer need nothing. For the others, ca.pem below is the certificate of that issuer.',
    ];
  }
  return [
    `# The authority of ${url}: ${file}, valid until ${until}.`,
    '# Get it on a client, and compare its fingerprint with the next line:',
    `#   ${certificate.fingerprint256}`,
    `curl -fsSko ca.pem ${url}/ca.pem`,
    'openssl x509 -noout -fingerprint -sha256 -in ca.pem',
  ];
}
