/**
 * `tls: auto`: the mirror's own authority and the server certificate that it signs, both kept in the store. The certificate is
 * made anew at two thirds of its life and when the mirror has got another name. The authority stays: clients trust it.
 */
import { randomBytes, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type CertificatePair, checkPair, readLeaf } from '../config/certificate.ts';
import { StoreError } from '../store/store-error.ts';
import type { TlsFiles } from '../store/tls-files.ts';
import type { Logger } from '../telemetry/logger.ts';
import { issueServerCertificate, makeAuthority } from './authority.ts';

export interface OwnCertificateOptions {
  readonly files: TlsFiles;
  /** The hosts and addresses under which clients reach the mirror. At least one. */
  hosts(): readonly string[];
  readonly machine: string;
  readonly logger: Logger;
  /** Milliseconds since the epoch. */
  now(): number;
}

/** Of its life. */
const renewAt = 2 / 3;

export class OwnCertificate {
  readonly authority: CertificatePair;
  readonly #options: OwnCertificateOptions;
  #pair: CertificatePair;

  private constructor(options: OwnCertificateOptions, authority: CertificatePair, pair: CertificatePair) {
    this.#options = options;
    this.authority = authority;
    this.#pair = pair;
  }

  get pair(): CertificatePair {
    return this.#pair;
  }

  /** Errors: `StoreError`, also for an authority that can't be used: making another one would lock all clients out. */
  static async open(options: OwnCertificateOptions): Promise<OwnCertificate> {
    const authority = (await readAuthority(options)) ?? (await createAuthority(options));
    const held = await readPair(options.files, 'server');
    if (held !== undefined && isGood(held, authority, options))
      return new OwnCertificate(options, authority, held);
    return new OwnCertificate(options, authority, await issue(options, authority));
  }

  /** True: there is a new certificate. Errors: `StoreError`; then the old one stays. */
  async renewIfDue(): Promise<boolean> {
    if (isGood(this.#pair, this.authority, this.#options)) return false;
    this.#pair = await issue(this.#options, this.authority);
    return true;
  }
}

async function readAuthority({ files, now }: OwnCertificateOptions): Promise<CertificatePair | undefined> {
  const [certificate, key] = [await files.read('ca.pem'), await files.read('ca.key')];
  if (certificate === undefined && key === undefined) return undefined;
  const remedy = `bring both back, or remove ${files.folder} and give clients the new ca.pem`;
  const refuse = (reason: string) =>
    new StoreError('read', 'LAYOUT', `${files.folder}: ${reason}; ${remedy}`);
  if (certificate === undefined) throw refuse('ca.pem is missing');
  if (key === undefined) throw refuse('ca.key is missing');
  const flaw = checkPair({ certificate, key }, now());
  if (flaw !== undefined)
    throw refuse(`ca.${flaw.blames === 'key' ? 'key' : 'pem'} cannot be used: ${flaw.message}`);
  return { certificate, key };
}

async function createAuthority({
  files,
  machine,
  logger,
  now,
}: OwnCertificateOptions): Promise<CertificatePair> {
  const authority = await makeAuthority(`Cistern ${machine} ${randomBytes(3).toString('hex')}`, now());
  // The key first: a crash in between leaves a key without a certificate, which is no authority that a client knows.
  await files.write('ca.key', authority.key);
  await files.write('ca.pem', authority.certificate);
  const { fingerprint256, validTo } = new X509Certificate(authority.certificate);
  logger.info('made an authority for TLS', { folder: files.folder, fingerprint256, validTo });
  return authority;
}

async function readPair(files: TlsFiles, name: 'server'): Promise<CertificatePair | undefined> {
  const [certificate, key] = [await files.read(`${name}.pem`), await files.read(`${name}.key`)];
  return certificate === undefined || key === undefined ? undefined : { certificate, key };
}

function isGood(
  pair: CertificatePair,
  authority: CertificatePair,
  { hosts, now }: OwnCertificateOptions,
): boolean {
  if (checkPair(pair, now()) !== undefined) return false;
  const leaf = readLeaf(pair.certificate);
  const [begin, end] = [Date.parse(leaf.validFrom), Date.parse(leaf.validTo)];
  const isDue = now() >= begin + (end - begin) * renewAt;
  // One that ends with its authority can't be renewed for longer.
  const isLast = end >= Date.parse(readLeaf(authority.certificate).validTo);
  return (
    (!isDue || isLast) &&
    leaf.verify(new X509Certificate(authority.certificate).publicKey) &&
    hosts().every(host => (isIP(host) === 0 ? leaf.checkHost(host) : leaf.checkIP(host)) !== undefined)
  );
}

async function issue(
  { files, hosts, logger, now }: OwnCertificateOptions,
  authority: CertificatePair,
): Promise<CertificatePair> {
  const names = hosts();
  const pair = await issueServerCertificate(authority, names, now());
  await files.write('server.key', pair.key);
  await files.write('server.pem', pair.certificate);
  logger.info('made a certificate for TLS', { hosts: names, validTo: readLeaf(pair.certificate).validTo });
  return pair;
}
