/** Adds a layer to an image in the form of skopeo's `dir:`: a folder with manifest.json, and each blob under its hex. */
import { copyFile, link, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { digestOf, hexOf } from '../../../src/oci/digest.ts';
import type { Descriptor } from '../../../src/oci/manifest.ts';
import { commandOutput } from './command.ts';
import { imageId, manifestFor, type RealImage } from './image-set.ts';
import { digestOfFile } from './layers.ts';

interface Config {
  readonly rootfs: { readonly diff_ids: readonly string[] };
  readonly history: readonly object[];
}

interface Manifest {
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/**
 * Of `base`, as skopeo stored it in `from`, makes in the empty folder `to` the image for this machine with the file in a layer on
 * top. The layer is a plain tar: skopeo compresses it, and mounts afterwards only what it knows the compression of.
 */
export async function addLayer(base: RealImage, from: string, to: string, file: string): Promise<void> {
  const { digest, blobs } = manifestFor(base);
  for (const blob of blobs) await link(join(from, hexOf(blob)), join(to, hexOf(blob)));
  await copyFile(join(from, 'version'), join(to, 'version'));
  const tar = join(to, 'layer.tar');
  await commandOutput(['tar', '-C', dirname(file), '-cf', tar, basename(file)]);
  const added = await digestOfFile(tar);
  const { size } = await stat(tar);
  await rename(tar, join(to, hexOf(added)));

  const config: Config = JSON.parse(await readFile(join(from, hexOf(imageId(base))), 'utf8'));
  const newConfig = Buffer.from(
    JSON.stringify({
      ...config,
      rootfs: { ...config.rootfs, diff_ids: [...config.rootfs.diff_ids, added] },
      history: [...config.history, { created_by: `a layer with ${basename(file)}` }],
    }),
  );
  await writeFile(join(to, hexOf(digestOf(newConfig))), newConfig);
  const isTop = base.children.length === 0;
  const stored = join(from, isTop ? 'manifest.json' : `${hexOf(digest)}.manifest.json`);
  const manifest: Manifest = JSON.parse(await readFile(stored, 'utf8'));
  const mediaType = manifest.layers[0]?.mediaType.replace(/[.+]gzip$/, '');
  const newManifest = {
    ...manifest,
    config: { ...manifest.config, digest: digestOf(newConfig), size: newConfig.length },
    layers: [...manifest.layers, { mediaType, digest: added, size }],
  };
  await writeFile(join(to, 'manifest.json'), JSON.stringify(newManifest));
}
