/**
 * `pin` and `unpin`: a line in the repository's record, on disk before the answer. What it means is worked out by
 * `PinnedBlobs`. A pin needs something that is held: there is nothing to keep of what isn't.
 */
import type { BlobStore } from '../store/blobs/blob-store.ts';
import { readManifest, readTree, type TypedDigest } from '../store/records/held-tree.ts';
import type { PinnedBlobs } from '../store/records/pinned-blobs.ts';
import type { Records } from '../store/records/records.ts';
import type { PinReport } from './admin.ts';
import { formatImage, type ImageName } from './image-name.ts';
import { notHeld, requireWritten } from './refusals.ts';

export interface PinningOptions {
  readonly records: Pick<Records, 'open'>;
  readonly store: Pick<BlobStore, 'open' | 'sizeOf'>;
  readonly pins: Pick<PinnedBlobs, 'settled'>;
}

/** Errors: MANIFEST_UNKNOWN, UNAVAILABLE. */
export async function pinImage(options: PinningOptions, image: ImageName): Promise<PinReport> {
  const record = await options.records.open(image.name);
  const root = record.named(image.reference);
  const meaning = root && (await describe(options.store, root));
  if (meaning === undefined) throw notHeld('MANIFEST_UNKNOWN', formatImage(image));
  const changed = !record.pins.has(image.reference);
  record.pin(image.reference);
  await requireWritten(record);
  await options.pins.settled();
  return { image: formatImage(image), changed, ...meaning };
}

/** What was pinned and is gone upstream can be unpinned too. Errors: MANIFEST_UNKNOWN, UNAVAILABLE. */
export async function unpinImage(options: PinningOptions, image: ImageName): Promise<PinReport> {
  const record = await options.records.open(image.name);
  const changed = record.pins.has(image.reference);
  const root = record.named(image.reference);
  if (root === undefined && !changed) throw notHeld('MANIFEST_UNKNOWN', formatImage(image));
  const nothing = { digest: root?.digest ?? null, blobs: 0, missingBlobs: 0, heldBytes: 0 };
  const meaning = (root && (await describe(options.store, root))) ?? nothing;
  record.unpin(image.reference);
  await requireWritten(record);
  await options.pins.settled();
  return { image: formatImage(image), changed, ...meaning };
}

async function describe(
  store: Pick<BlobStore, 'open' | 'sizeOf'>,
  root: TypedDigest,
): Promise<Omit<PinReport, 'image' | 'changed'> | undefined> {
  const tree = await readTree(manifest => readManifest(store, manifest), root);
  if (tree === undefined) return undefined;
  let [heldBytes, missingBlobs] = [0, 0];
  for (const digest of tree.blobs.keys()) {
    const size = await store.sizeOf(digest);
    heldBytes += size ?? 0;
    if (size === undefined) missingBlobs += 1;
  }
  return { digest: root.digest, blobs: tree.blobs.size, missingBlobs, heldBytes };
}
