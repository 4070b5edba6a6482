/** One image of the image set as a tar for `docker load`: its config and its layers under a name. */
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hexOf } from '../../../src/oci/digest.ts';
import { commandOutput } from './command.ts';
import type { RealManifest } from './image-set.ts';

/** `blobs`: the folder of the set; `to`: an empty one. Gives the path of the tar. */
export async function writeDockerArchive(
  manifest: RealManifest,
  name: string,
  blobs: string,
  to: string,
): Promise<string> {
  const [config = '', ...layers] = manifest.blobs.map(hexOf);
  for (const hex of [config, ...layers]) await copyFile(join(blobs, hex), join(to, hex));
  const entries = [{ Config: config, RepoTags: [name], Layers: layers }];
  await writeFile(join(to, 'manifest.json'), JSON.stringify(entries));
  const tar = join(to, 'image.tar');
  await commandOutput(['tar', '-C', to, '-cf', tar, 'manifest.json', config, ...layers]);
  return tar;
}
