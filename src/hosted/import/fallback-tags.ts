/**
 * The tags by which clients kept referrers in registries without the referrers API (OCI distribution-spec "Referrers Tag Schema"):
 * `sha256-HEX` names an index of what refers to that digest. Here the subject of each manifest tells it.
 */
import type { Digest } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import { parseManifest } from '../../oci/manifest.ts';

/** Whether `bytes` are an index, and everything in it names `subject` itself. */
export async function isReferrerList(
  bytes: Buffer | undefined,
  subject: Digest,
  read: (digest: Digest) => Promise<Buffer | undefined>,
): Promise<boolean> {
  const index = bytes && parseIfManifest(bytes);
  if (index?.kind !== 'index' || index.hasForeign === true) return false;
  for (const { digest } of index.manifests) {
    const child = await read(digest);
    if (child === undefined || parseIfManifest(child)?.subject?.digest !== subject) return false;
  }
  return true;
}

function parseIfManifest(bytes: Buffer): ReturnType<typeof parseManifest> | undefined {
  try {
    return parseManifest(bytes, '');
  } catch (error) {
    if (error instanceof RegistryError) return undefined; // then it is no list of referrers
    throw error;
  }
}
