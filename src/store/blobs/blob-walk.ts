/**
 * All held files in the order of their digests, so that a walk which was ended can go on where it was. Unlike `BlobStore.scan` it looks at
 * names alone: what lies under them is the caller's business.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { StoreLayout } from '../layout.ts';
import { isMissing, type StoreObserver } from '../store-error.ts';

export interface BlobWalkOptions {
  readonly layout: StoreLayout;
  readonly observer: StoreObserver;
}

const algorithms = ['sha256', 'sha512'] as const;

/** From the first digest after `after` on. A folder that can't be read is reported, and left out. */
export async function* walkBlobs(
  { layout, observer }: BlobWalkOptions,
  after: Digest | undefined,
): AsyncGenerator<Digest> {
  for (const algorithm of algorithms) {
    const root = join(layout.blobsFolder, algorithm);
    for (const prefix of await list(root, observer)) {
      if (
        after !== undefined &&
        `${algorithm}:${prefix}` < after.slice(0, algorithm.length + 1 + prefix.length)
      )
        continue;
      for (const hex of await list(join(root, prefix), observer)) {
        const digest = `${algorithm}:${hex}`;
        if (hex.startsWith(prefix) && isDigest(digest) && (after === undefined || digest > after))
          yield digest;
      }
    }
  }
}

async function list(folder: string, observer: StoreObserver): Promise<string[]> {
  try {
    return (await readdir(folder)).sort();
  } catch (error) {
    if (!isMissing(error)) observer.storeError('scan');
    return [];
  }
}
