/** What every suite with real clients begins with: the images, a registry storage that holds them, a folder of its own. */
import { join } from 'node:path';
import { type ImageSet, openImageSet } from '../support/real/image-set.ts';
import { projectFolder } from '../support/real/mirror.ts';
import { openSeededStorage } from '../support/real/seeded-storage.ts';
import { makeTempDir } from '../support/temp-dir.ts';

export interface SuiteParts {
  readonly images: ImageSet['images'];
  /** Every blob and manifest of them as a file named by its hex. */
  readonly blobs: string;
  readonly storage: string;
  readonly folder: string;
  /** Last of all. */
  remove(): Promise<void>;
}

export async function openSuiteParts(): Promise<SuiteParts> {
  const set = await openImageSet(join(projectFolder, '.lab'));
  const storage = await openSeededStorage(set);
  const { path, remove } = await makeTempDir();
  return { ...set, storage, folder: path, remove };
}
