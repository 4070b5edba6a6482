/**
 * What of an image is held, as `ls` and the page say it: sizes, completeness and last use, worked out from the tree of its manifests.
 * The sizes of blobs come from wherever they are known; no upstream is asked.
 */
import { TimeSlice } from '../lib/time-slice.ts';
import type { Digest } from '../oci/digest.ts';
import { isDistributable } from '../oci/media-type.ts';
import { findMissing, type ImageTree, type MissingContent } from '../store/records/image-tree.ts';

/** A blob that is held. */
export interface HeldFile {
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly lastUseMs: number;
}

export interface HeldFiles {
  /** Undefined: not held. Never throws. */
  of(digest: Digest): Promise<HeldFile | undefined>;
}

export interface ImageSummary {
  /** Of distinct blobs and manifests that held manifests name: those that are held, and all that are needed. */
  readonly heldBytes: number;
  readonly neededBytes: number;
  /** Of its most recently used blob, in milliseconds since the epoch; 0: none is held. */
  readonly lastUseMs: number;
  /** Undefined: the image is complete. */
  readonly missing: MissingContent | undefined;
}

/** `wasAsked`: a client of its repository has asked for that blob before. */
export async function summarizeImage(
  tree: ImageTree,
  files: HeldFiles,
  wasAsked: (digest: Digest) => boolean,
): Promise<ImageSummary> {
  const slice = new TimeSlice(); // sizes may come from memory, without a turn of their own
  let manifestBytes = 0;
  for (const { size } of tree.manifests.values()) manifestBytes += size;
  let [heldBytes, neededBytes, lastUseMs] = [manifestBytes, manifestBytes, 0];
  for (const blob of tree.blobs.values()) {
    await slice.pause();
    const held = await files.of(blob.digest);
    heldBytes += held?.size ?? 0;
    if (held !== undefined || isDistributable(blob.mediaType)) neededBytes += held?.size ?? blob.size;
    lastUseMs = Math.max(lastUseMs, held?.lastUseMs ?? 0);
  }
  const missing = await findMissing(tree.root, {
    manifest: async child => tree.manifests.get(child)?.parsed,
    hasBlob: async blob => (await files.of(blob)) !== undefined,
    wasAsked,
  });
  return { heldBytes, neededBytes, lastUseMs, missing };
}
