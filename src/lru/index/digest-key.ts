/**
 * A digest in binary: 32 bytes for sha256, 64 for sha512, so the length says which. Measured with 1,000,000 blobs, that is
 * 250 instead of 315 bytes each in Redis, and a third of what the texts cost in this process.
 */
import { type Digest, hexOf, isDigest } from '../../oci/digest.ts';

export function keyOf(digest: Digest): Buffer {
  return Buffer.from(hexOf(digest), 'hex');
}

/** Undefined for what is no key. */
export function digestOfKey(key: Buffer): Digest | undefined {
  const digest = `${key.length === 64 ? 'sha512' : 'sha256'}:${key.toString('hex')}`;
  return isDigest(digest) ? digest : undefined;
}
