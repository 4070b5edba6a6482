/**
 * Certificates made here: an authority of ten years, and server certificates that it signs. ECDSA over P-256, with the key
 * identifiers that strict clients (Python 3.13) ask for. The library that writes X.509 loads on first use.
 */
import { createPrivateKey, KeyObject, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import { type CertificatePair, expiryOf } from '../config/certificate.ts';

const hour = 3_600_000;
const day = 24 * hour;
const authorityDays = 3652;
/** Apple's clients refuse more than 398. */
const serverDays = 397;
/** For clients whose clock is a little slow. */
const clockSkewMs = hour;

const algorithm = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' } as const;

/** `name`: what people see in a list of authorities. `now`: milliseconds since the epoch. */
export async function makeAuthority(name: string, now: number): Promise<CertificatePair> {
  const x509 = await import('@peculiar/x509');
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: [{ CN: [name] }],
      notBefore: new Date(now - clockSkewMs),
      notAfter: new Date(now + authorityDays * day),
      signingAlgorithm,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { certificate: pem(certificate.toString('pem')), key: exportKey(keys.privateKey) };
}

/** For these hosts and addresses, at least one. Never valid for longer than the authority. */
export async function issueServerCertificate(
  authority: CertificatePair,
  hosts: readonly string[],
  now: number,
): Promise<CertificatePair> {
  const x509 = await import('@peculiar/x509');
  const issuer = new x509.X509Certificate(authority.certificate);
  const signingKey = await importKey(authority.key);
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const begin = now - clockSkewMs;
  const end = Math.min(begin + serverDays * day, expiryOf(authority.certificate));
  const certificate = await x509.X509CertificateGenerator.create(
    {
      subject: [{ CN: ['Cistern'] }],
      issuer: issuer.subjectName,
      notBefore: new Date(begin),
      notAfter: new Date(end),
      signingAlgorithm,
      publicKey: keys.publicKey,
      signingKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension(
          hosts.map(value => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
        ),
        await x509.AuthorityKeyIdentifierExtension.create(issuer, false, webcrypto),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  return { certificate: pem(certificate.toString('pem')), key: exportKey(keys.privateKey) };
}

function pem(text: string): string {
  return `${text.trimEnd()}\n`;
}

function exportKey(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString();
}

function importKey(key: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(key).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
}
