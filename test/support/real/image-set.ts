/**
 * The images of the real-client suites, built once per machine into a git-ignored folder: one tiny, one of eight layers
 * up to 100 MB, an OCI index and a Docker manifest list over two architectures, one with zstd layers, and an artifact
 * with a `subject`. The folder is named after the recipe; a half-built one is never taken for a whole one.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../../../src/oci/digest.ts';
import { ImageBuilder } from './image-builder.ts';
import { layerRecipes } from './recipes.ts';

export interface RealManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly size: number;
  /** Config and layers, each once; empty for an index. */
  readonly blobs: readonly Digest[];
  /** Of an image; an index has none. */
  readonly architecture?: string;
}

export interface RealImage {
  readonly repository: string;
  readonly tag: string;
  /** What the tag names. */
  readonly top: RealManifest;
  readonly children: readonly RealManifest[];
}

export type ImageName = 'tiny' | 'app' | 'index' | 'list' | 'zstd' | 'signature' | 'nested';

export interface ImageSet {
  /** Every blob and manifest as a file named by its hex. */
  readonly blobs: string;
  readonly images: Readonly<Record<ImageName, RealImage>>;
}

/** Config and layers that a client of this architecture takes. */
export function blobsFor(image: RealImage, architecture = 'amd64'): readonly Digest[] {
  return manifestFor(image, architecture).blobs;
}

/** The image manifest that a client of this architecture ends with. */
export function manifestFor(image: RealImage, architecture = 'amd64'): RealManifest {
  if (image.children.length === 0) return image.top;
  const child = image.children.find(one => one.architecture === architecture);
  if (child === undefined)
    throw new Error(`expected a child for ${architecture} in ${image.repository}:${image.tag}`);
  return child;
}

/** The docker image id: the digest of the config. */
export function imageId(image: RealImage): Digest {
  const [config] = blobsFor(image);
  if (config === undefined) throw new Error(`expected a config in ${image.repository}:${image.tag}`);
  return config;
}

/** Opens or builds the set under `labFolder`. Building needs apt, dpkg-deb, tar and zstd, and takes about half a minute. */
export async function openImageSet(labFolder: string): Promise<ImageSet> {
  const recipe = createHash('sha256')
    .update(JSON.stringify(layerRecipes))
    .update('3')
    .digest('hex')
    .slice(0, 12);
  const folder = join(labFolder, `images-${recipe}`);
  if (!existsSync(folder)) {
    await mkdir(labFolder, { recursive: true });
    const building = await mkdtemp(join(labFolder, 'building-'));
    try {
      const images = await new ImageBuilder(building, join(labFolder, 'packages')).build();
      await writeFile(join(building, 'images.json'), JSON.stringify(images, undefined, 2));
      await rename(building, folder);
    } finally {
      await rm(building, { recursive: true, force: true });
    }
  }
  const images = JSON.parse(await readFile(join(folder, 'images.json'), 'utf8')) as ImageSet['images'];
  return { blobs: join(folder, 'blobs'), images };
}
