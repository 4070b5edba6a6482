/**
 * What a pin of an image means: the blobs and bytes that it keeps, as `pin` and `unpin` report it. It reads the manifests from the store,
 * so it says what is held now, and what a later pull still brings.
 */
import type { Digest } from '../oci/digest.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import { readImageTree, readManifest, type TypedDigest } from '../store/records/image-tree.ts';
import type { PinReport } from './admin.ts';

/** Undefined: the image isn't held. Errors: `StoreError`. */
export async function describePin(
  store: Pick<BlobStore, 'open' | 'sizeOf'>,
  root: TypedDigest,
): Promise<Omit<PinReport, 'image' | 'changed'> | undefined> {
  const tree = await readImageTree(manifest => readManifest(store, manifest), root);
  if (tree === undefined) return undefined;
  let [heldBytes, missingBlobs] = [0, 0];
  for (const digest of tree.blobs.keys()) {
    const size = await store.sizeOf(digest);
    heldBytes += size ?? 0;
    if (size === undefined) missingBlobs += 1;
  }
  return { digest: root.digest, blobs: tree.blobs.size, missingBlobs, heldBytes };
}

/** Of an image that isn't held. */
export function keepsNothing(digest: Digest | undefined): Omit<PinReport, 'image' | 'changed'> {
  return { digest: digest ?? null, blobs: 0, missingBlobs: 0, heldBytes: 0 };
}
