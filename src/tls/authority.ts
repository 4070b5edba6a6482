/**
 * Certificates made here: an authority of ten years, and server certificates that it signs. ECDSA over P-256. The library
 * that writes X.509 loads on first use.
 */
import { isIP } from 'node:net';
import type { CertificatePair } from '../config/certificate.ts';
import { expiryOf } from '../config/certificate.ts';

const hour = 3_600_000;
const day = 24 * hour;
const authorityDays = 3652;
/** Apple's clients refuse more than 398. */
const serverDays = 397;
/** For clients whose clock is a little slow. */
const clockSkewMs = hour;

const shared = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const;

/** `name`: what people see in a list of authorities. `now`: milliseconds since the epoch. */
export async function makeAuthority(name: string, now: number): Promise<CertificatePair> {
  const { generate } = await import('selfsigned');
  const made = await generate([{ name: 'commonName', value: name }], {
    ...shared,
    notBeforeDate: new Date(now - clockSkewMs),
    notAfterDate: new Date(now + authorityDays * day),
    extensions: [
      { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  return { certificate: made.cert, key: made.private };
}

/** For these hosts and addresses, at least one. Never valid for longer than the authority. */
export async function issueServerCertificate(
  authority: CertificatePair,
  hosts: readonly string[],
  now: number,
): Promise<CertificatePair> {
  const { generate } = await import('selfsigned');
  const begin = now - clockSkewMs;
  const end = Math.min(begin + serverDays * day, expiryOf(authority.certificate));
  const made = await generate([{ name: 'commonName', value: 'Cistern' }], {
    ...shared,
    ca: { key: authority.key, cert: authority.certificate },
    notBeforeDate: new Date(begin),
    notAfterDate: new Date(end),
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      {
        name: 'subjectAltName',
        altNames: hosts.map(host => (isIP(host) === 0 ? { type: 2, value: host } : { type: 7, ip: host })),
      },
    ],
  });
  return { certificate: made.cert, key: made.private };
}
