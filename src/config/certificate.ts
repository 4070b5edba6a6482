/**
 * The certificates of `http.tls`, and whether a certificate and a key can be used together now: for `check`, for the start, and
 * for files that changed.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';

export interface TlsConfig {
  /** Undefined: a certificate of the mirror's own authority. */
  readonly files?: CertificateFiles;
  /** For clients that ask for such a host (SNI). `host`: lower case; `*.` stands for one label. */
  readonly names: readonly (CertificateFiles & { readonly host: string })[];
  /** Undefined: clients aren't asked for certificates. */
  readonly clients?: {
    /** Absolute: of the authority that signs their certificates. */
    readonly ca: string;
    readonly areRequired: boolean;
  };
}

/** Absolute paths of files that may change while the mirror runs. */
export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
}

/** PEM texts. `certificate` may have the certificates of its issuers after it. */
export interface CertificatePair {
  readonly certificate: string;
  readonly key: string;
}

export interface PairFlaw {
  readonly blames: 'certificate' | 'key';
  readonly message: string;
}

/** The first certificate of a PEM text. Errors: those of node:crypto. */
export function readLeaf(certificate: string): X509Certificate {
  return new X509Certificate(certificate);
}

/** Milliseconds since the epoch. */
export function expiryOf(certificate: string): number {
  return Date.parse(readLeaf(certificate).validTo);
}

/** `now`: milliseconds since the epoch. Undefined: the pair can be used. No message shows what is in the key. */
export function checkPair({ certificate, key }: CertificatePair, now: number): PairFlaw | undefined {
  let leaf: X509Certificate;
  try {
    for (const block of blocksOf(certificate)) new X509Certificate(block);
    leaf = readLeaf(certificate);
  } catch {
    return { blames: 'certificate', message: 'no whole certificate in PEM form' };
  }
  try {
    if (!leaf.checkPrivateKey(createPrivateKey(key)))
      return { blames: 'key', message: 'is not the key of the certificate' };
  } catch {
    return { blames: 'key', message: 'no whole private key in PEM form, without a passphrase' };
  }
  const expiry = Date.parse(leaf.validTo);
  if (expiry > now) return undefined;
  return { blames: 'certificate', message: `the certificate expired at ${new Date(expiry).toISOString()}` };
}

/** A block without its end is not passed over: the file is still being written. */
function blocksOf(text: string): readonly string[] {
  const begins = text.match(/-----BEGIN CERTIFICATE-----/g)?.length ?? 0;
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0 || blocks.length !== begins) throw new Error('expected whole certificates');
  return blocks;
}
