/**
 * What is held, image by image, as the records and the store say it: for `ls`. Reads each manifest of a matching
 * repository once, and asks nobody.
 */
import type { Digest } from '../oci/digest.ts';
import { isDistributable } from '../oci/media-type.ts';
import type { BlobStore } from '../store/blobs/blob-store.ts';
import {
  isComplete,
  type ReadManifest,
  readManifest,
  readTree,
  type StoredManifest,
  type TypedDigest,
} from '../store/records/held-tree.ts';
import type { Records } from '../store/records/records.ts';
import type { RepositoryRecord } from '../store/records/repository-record.ts';
import { ifReadable } from '../store/store-error.ts';
import type { ListedImage } from './admin.ts';
import { HeldSizes } from './held-sizes.ts';

export interface InventoryOptions {
  readonly records: Pick<Records, 'names' | 'open'>;
  readonly store: Pick<BlobStore, 'open'>;
}

/** Sorted by repository and tag. Errors: the signal's reason; `StoreError` scan. */
export async function listImages(
  { records, store }: InventoryOptions,
  isWanted: (repository: string) => boolean,
  signal: AbortSignal,
): Promise<readonly ListedImage[]> {
  const names: string[] = [];
  for await (const name of records.names()) if (isWanted(name)) names.push(name);
  const sizes = new HeldSizes(store);
  const images: ListedImage[] = [];
  for (const name of names.sort()) {
    signal.throwIfAborted();
    images.push(...(await listRepository(await records.open(name), store, sizes, signal)));
  }
  return images;
}

async function listRepository(
  record: RepositoryRecord,
  store: Pick<BlobStore, 'open'>,
  sizes: HeldSizes,
  signal: AbortSignal,
): Promise<readonly ListedImage[]> {
  const known = new Map<Digest, Promise<StoredManifest | undefined>>();
  const read: ReadManifest = manifest => {
    signal.throwIfAborted();
    const found = known.get(manifest.digest) ?? ifReadable(readManifest(store, manifest));
    known.set(manifest.digest, found);
    return found;
  };
  const tags = [...record.tags()].sort(([a], [b]) => (a < b ? -1 : 1));
  const named = new Set(tags.map(([, entry]) => entry.descriptor.digest));
  for (const manifest of record.manifests())
    for (const child of (await read(manifest))?.parsed.manifests ?? []) named.add(child.digest);

  const images: ListedImage[] = [];
  for (const [tag, { descriptor, checkedAt }] of tags) {
    const { content } = await describe(descriptor, read, sizes);
    const pinned = record.pins.has(tag) || record.pins.has(descriptor.digest);
    images.push({ repository: record.name, tag, ...content, checkedAt: isoOf(checkedAt), pinned });
  }
  for (const manifest of record.manifests()) {
    if (named.has(manifest.digest)) continue;
    const { content, isHeld } = await describe(manifest, read, sizes);
    const pinned = record.pins.has(manifest.digest);
    if (isHeld) images.push({ repository: record.name, tag: null, ...content, checkedAt: null, pinned });
  }
  return images;
}

type Content = Omit<ListedImage, 'repository' | 'tag' | 'checkedAt' | 'pinned'>;

async function describe(
  root: TypedDigest,
  read: ReadManifest,
  sizes: HeldSizes,
): Promise<{ readonly content: Content; readonly isHeld: boolean }> {
  const { digest, mediaType } = root;
  const tree = await readTree(read, root);
  if (tree === undefined) {
    const nothing = { complete: false, heldBytes: 0, neededBytes: 0, lastUsedAt: null };
    return { content: { digest, mediaType, ...nothing }, isHeld: false };
  }
  let manifestBytes = 0;
  for (const { size } of tree.manifests.values()) manifestBytes += size;
  let [heldBytes, neededBytes, lastUseMs] = [manifestBytes, manifestBytes, 0];
  for (const blob of tree.blobs.values()) {
    const held = await sizes.of(blob.digest);
    heldBytes += held?.size ?? 0;
    if (held !== undefined || isDistributable(blob.mediaType)) neededBytes += held?.size ?? blob.size;
    lastUseMs = Math.max(lastUseMs, held?.mtimeMs ?? 0);
  }
  const lastUsedAt = lastUseMs === 0 ? null : isoOf(lastUseMs);
  const manifest = tree.manifests.get(digest)?.parsed;
  const complete =
    manifest !== undefined &&
    (await isComplete(manifest, {
      manifest: async child => tree.manifests.get(child)?.parsed,
      hasBlob: async blob => (await sizes.of(blob)) !== undefined,
    }));
  return { content: { digest, mediaType, complete, heldBytes, neededBytes, lastUsedAt }, isHeld: true };
}

/** Null for what is no time. */
function isoOf(ms: number): string | null {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}
