/**
 * The tree of an image in the store, without asking an upstream: the manifests under a root that are held, the blobs that these name, and
 * which parts are missing for a complete image.
 */
import { TimeSlice } from '../../lib/time-slice.ts';
import { algorithmOf, type Digest, digestOf } from '../../oci/digest.ts';
import { RegistryError } from '../../oci/error.ts';
import { blobChildren, isBlobChild, neededBlobs } from '../../oci/image-needs.ts';
import { type Descriptor, maxManifestBytes, type ParsedManifest, parseOrKeep } from '../../oci/manifest.ts';
import { WalkBudget, walkManifests } from '../../oci/manifest-walk.ts';
import type { BlobStore } from '../blobs/blob-store.ts';

/** A manifest in the store; `size` in bytes. */
export interface StoredManifest {
  readonly size: number;
  readonly parsed: ParsedManifest;
}

export interface ImageTree {
  readonly root: ParsedManifest;
  /** The held ones, the root first. */
  readonly manifests: ReadonlyMap<Digest, StoredManifest>;
  /** Children that aren't held. */
  readonly missing: ReadonlySet<Digest>;
  /** Configs and layers that the held manifests name, held or not. */
  readonly blobs: ReadonlyMap<Digest, Descriptor>;
}

export type TypedDigest = Pick<Descriptor, 'digest' | 'mediaType'>;

/** As `readManifest`; a caller that reads the same manifests often keeps them. */
export type ReadManifest = (manifest: TypedDigest) => Promise<StoredManifest | undefined>;

/** Undefined: the root isn't held or is no manifest. Errors: those of `read`. */
export async function readImageTree(read: ReadManifest, root: TypedDigest): Promise<ImageTree | undefined> {
  const manifests = new Map<Digest, StoredManifest>();
  const missing = new Set<Digest>();
  const blobs = new Map<Digest, Descriptor>();
  for await (const { named, found } of walkManifests([root], read)) {
    if (found === undefined) {
      missing.add(named.digest);
      continue;
    }
    manifests.set(named.digest, found);
    for (const blob of blobsOf(found.parsed)) blobs.set(blob.digest, blob);
  }
  const held = manifests.get(root.digest);
  return held && { root: held.parsed, manifests, missing, blobs };
}

/** Parts that a complete image needs and that aren't held. An index with attestations only needs an image, but names none. */
export interface MissingContent {
  readonly manifests: ReadonlySet<Digest>;
  readonly blobs: ReadonlyMap<Digest, Descriptor>;
}

/** What `findMissing` asks of the content that may be served. */
export interface ServableContent {
  /** Undefined: not held. */
  manifest(digest: Digest): Promise<ParsedManifest | undefined>;
  hasBlob(digest: Digest): Promise<boolean>;
  /** A client of this repository has asked for that blob before, so it needs it. */
  wasAsked(digest: Digest): boolean;
}

/**
 * Undefined: the image is complete. An image needs the blobs that `oci/image-needs.ts` names. An index needs one complete image among its
 * children, attestations (`os: unknown`) aside, and of the blobs that it lists those that were asked for; without children it is complete.
 * What can't be read has nothing to check. Reads each manifest once. Errors: those of `content`.
 */
export async function findMissing(
  root: ParsedManifest,
  content: ServableContent,
): Promise<MissingContent | undefined> {
  const missing = { manifests: new Set<Digest>(), blobs: new Map<Digest, Descriptor>() };
  return (await addMissing(root, withinLimits(content), missing, new Set())) === 0 ? undefined : missing;
}

/** Beyond the limits of a walk nothing counts as held; no blob is looked at twice; other requests run in between. */
function withinLimits(content: ServableContent): ServableContent {
  const slice = new TimeSlice();
  const budget = new WalkBudget();
  const blobs = new Map<Digest, Promise<boolean>>();
  return {
    ...content,
    manifest: async child => {
      await slice.pause();
      const found = budget.hasRoom ? await content.manifest(child) : undefined;
      return found !== undefined && budget.take(found) ? found : undefined;
    },
    hasBlob: async digest => {
      await slice.pause();
      const known = blobs.get(digest) ?? content.hasBlob(digest);
      blobs.set(digest, known);
      return known;
    },
  };
}

/** Resolves with how many parts are missing for this manifest; 0: it is complete, and so is any index above it. */
async function addMissing(
  manifest: ParsedManifest,
  content: ServableContent,
  missing: { readonly manifests: Set<Digest>; readonly blobs: Map<Digest, Descriptor> },
  seen: Set<Digest>,
): Promise<number> {
  let count = manifest.hasForeign === true ? 1 : 0;
  for (const child of manifest.manifests) {
    if (isBlobChild(child) || child.size === undefined) continue; // one without a size can't be checked
    count += 1;
    if (child.platform?.os === 'unknown' || seen.has(child.digest)) continue;
    seen.add(child.digest);
    const inner = await content.manifest(child.digest);
    if (inner === undefined) missing.manifests.add(child.digest);
    else if ((await addMissing(inner, content, missing, seen)) === 0) return 0;
  }
  const listed = blobChildren(manifest).filter(({ digest }) => content.wasAsked(digest));
  for (const blob of [...neededBlobs(manifest, digest => content.wasAsked(digest)), ...listed]) {
    if (await content.hasBlob(blob.digest)) continue;
    missing.blobs.set(blob.digest, blob);
    count += 1;
  }
  return count;
}

/** The config and the layers; of an index the blobs that it lists. */
export function blobsOf(manifest: ParsedManifest): readonly Descriptor[] {
  const { config, layers } = manifest;
  const own = config === undefined ? layers : [config, ...layers];
  return manifest.kind === 'index' ? [...own, ...blobChildren(manifest)] : own;
}

/** Undefined: not held, damaged, or no manifest. Errors: `StoreError` open, read. */
export async function readManifest(
  store: Pick<BlobStore, 'open'>,
  { digest, mediaType }: TypedDigest,
): Promise<StoredManifest | undefined> {
  const held = await store.open(digest);
  if (held === undefined) return undefined;
  try {
    if (held.size > maxManifestBytes) return undefined;
    const bytes = Buffer.alloc(held.size);
    await held.read(bytes, 0);
    if (digestOf(bytes, algorithmOf(digest)) !== digest) return undefined;
    return { size: held.size, parsed: parseOrKeep(bytes, mediaType) };
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  } finally {
    await held.close();
  }
}
