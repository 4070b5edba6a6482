/**
 * What a held manifest stands for, read from the store alone: the manifests under it that are held too, and the blobs
 * that these name. Nobody is asked; children that aren't held are named as missing.
 */

import { algorithmOf, type Digest, digestOf } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import { maxManifestBytes, type ParsedManifest, parseManifest } from '../../oci/manifest.ts';
import type { BlobStore } from '../blobs/blob-store.ts';

/** A larger blob is no manifest, whatever a record says. */

/** A manifest in the store; `size` in bytes. */
export interface StoredManifest {
  readonly size: number;
  readonly parsed: ParsedManifest;
}

export interface HeldTree {
  /** Held ones, the root first. */
  readonly manifests: ReadonlyMap<Digest, StoredManifest>;
  /** Children that aren't held. */
  readonly missing: ReadonlySet<Digest>;
  /** Configs and layers that the held ones name, held or not. */
  readonly blobs: ReadonlyMap<Digest, Descriptor>;
}

export type TreeStore = Pick<BlobStore, 'open'>;
export type TypedDigest = Pick<Descriptor, 'digest' | 'mediaType'>;

/** As `readManifest`, of whoever reads the same ones often. */
export type ReadManifest = (manifest: TypedDigest) => Promise<StoredManifest | undefined>;

/** Undefined: the root isn't held, or is no manifest. Errors: those of `read`. */
export async function readTree(read: ReadManifest, root: TypedDigest): Promise<HeldTree | undefined> {
  const manifests = new Map<Digest, StoredManifest>();
  const missing = new Set<Digest>();
  const blobs = new Map<Digest, Descriptor>();
  const open = [root];
  for (let next = open.shift(); next !== undefined; next = open.shift()) {
    if (manifests.has(next.digest) || missing.has(next.digest)) continue;
    const found = await read(next);
    if (found === undefined) {
      missing.add(next.digest);
      continue;
    }
    manifests.set(next.digest, found);
    for (const blob of blobsOf(found.parsed)) blobs.set(blob.digest, blob);
    open.push(...found.parsed.manifests);
  }
  return manifests.has(root.digest) ? { manifests, missing, blobs } : undefined;
}

/** The config and the layers. */
export function blobsOf({ config, layers }: ParsedManifest): readonly Descriptor[] {
  return config === undefined ? layers : [config, ...layers];
}

/** Undefined: not held, damaged, or no manifest. Errors: `StoreError` open, read. */
export async function readManifest(
  store: TreeStore,
  { digest, mediaType }: TypedDigest,
): Promise<StoredManifest | undefined> {
  const held = await store.open(digest);
  if (held === undefined) return undefined;
  try {
    if (held.size > maxManifestBytes) return undefined;
    const bytes = Buffer.alloc(held.size);
    await held.read(bytes, 0);
    if (digestOf(bytes, algorithmOf(digest)) !== digest) return undefined;
    return { size: held.size, parsed: parseManifest(bytes, mediaType) };
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  } finally {
    await held.close();
  }
}
