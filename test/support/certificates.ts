/**
 * A certificate authority of one test, made by the `openssl` command: nothing is committed that could expire.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** PEM texts. */
export interface Certificate {
  readonly key: string;
  readonly cert: string;
}

export class CertificateAuthority {
  /** PEM text, for `ca_file` or `SSL_CERT_FILE`. */
  readonly caPem: string;
  /** Path of the same. */
  readonly caFile: string;
  readonly #directory: string;
  #issued = 0;

  /** Writes its files into a directory that the caller removes. */
  constructor(directory: string) {
    this.#directory = directory;
    this.caFile = join(directory, 'ca.pem');
    openssl([
      'req',
      '-x509',
      ...newKey(join(directory, 'ca.key')),
      '-subj',
      '/CN=Test authority',
      '-days',
      '2',
      '-out',
      this.caFile,
    ]);
    this.caPem = readFileSync(this.caFile, 'utf8');
  }

  /** For these names (`DNS:mirror.lan`, `IP:127.0.0.1`); valid for two days, or expired with `days` -1. */
  issue(
    names: readonly string[] = ['DNS:localhost', 'IP:127.0.0.1'],
    { commonName = 'Test leaf', days = 2 } = {},
  ): Certificate {
    this.#issued += 1;
    const stem = join(this.#directory, `leaf-${this.#issued}`);
    writeFileSync(`${stem}.ext`, `subjectAltName=${names.join(',')}\n`);
    openssl(['req', '-new', ...newKey(`${stem}.key`), '-subj', `/CN=${commonName}`, '-out', `${stem}.csr`]);
    openssl([
      ...[
        'x509',
        '-req',
        '-in',
        `${stem}.csr`,
        '-CA',
        this.caFile,
        '-CAkey',
        join(this.#directory, 'ca.key'),
      ],
      ...[
        '-set_serial',
        String(this.#issued),
        '-days',
        String(days),
        '-extfile',
        `${stem}.ext`,
        '-out',
        `${stem}.pem`,
      ],
    ]);
    return { key: readFileSync(`${stem}.key`, 'utf8'), cert: readFileSync(`${stem}.pem`, 'utf8') };
  }
}

function newKey(path: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', path];
}

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
