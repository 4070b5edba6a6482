/**
 * Walks the blob folders: readdir and stat, a few at a time, so that a scan of a million files behind serving leaves the
 * disk and the thread pool to those who pull. A file that vanishes meanwhile is passed over.
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, isDigest } from '../../oci/digest.ts';
import type { StoreLayout } from '../layout.ts';
import { isMissing, type StoreObserver } from '../store-error.ts';

export interface ScannedBlob {
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** Last use: milliseconds since the epoch. */
  readonly mtimeMs: number;
}

/** Half of Node's default thread pool of 4, and short work. */
const statsAtOnce = 8;

export async function* scanBlobs(layout: StoreLayout, observer: StoreObserver): AsyncGenerator<ScannedBlob> {
  for (const algorithm of ['sha256', 'sha512']) {
    const root = join(layout.blobsFolder, algorithm);
    for (const prefix of await list(root, observer)) {
      const folder = join(root, prefix);
      const digests = (await list(folder, observer))
        .map(hex => ({ hex, digest: `${algorithm}:${hex}` }))
        .filter(
          (file): file is { hex: string; digest: Digest } =>
            isDigest(file.digest) && file.hex.startsWith(prefix),
        );
      for (let i = 0; i < digests.length; i += statsAtOnce) {
        const chunk = digests.slice(i, i + statsAtOnce);
        const found = await Promise.all(
          chunk.map(file => look(join(folder, file.hex), file.digest, observer)),
        );
        for (const blob of found) if (blob !== undefined) yield blob;
      }
    }
  }
}

/** A folder that can't be read costs its blobs their place in the count, not the whole scan. */
async function list(folder: string, observer: StoreObserver): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (!isMissing(error)) observer.storeError('scan');
    return [];
  }
}

async function look(path: string, digest: Digest, observer: StoreObserver): Promise<ScannedBlob | undefined> {
  try {
    const found = await stat(path);
    return found.isFile() ? { digest, size: found.size, mtimeMs: found.mtimeMs } : undefined;
  } catch (error) {
    if (!isMissing(error)) observer.storeError('scan');
    return undefined;
  }
}
