/**
 * `manifest.json` of a bundle: what `docker load` before version 25 and `podman load` read, over the same blobs. It can only name one
 * platform of an image, and Docker before version 25 takes no layers that are compressed with zstd.
 */
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts';
import type { ParsedManifest } from '../oci/manifest.ts';
import { isImageConfigType } from '../oci/media-type.ts';
import { fitsPlatform, type Platform } from '../oci/platform.ts';
import type { BundleEntry } from './image-list.ts';
import type { ExportPlan } from './plan-export.ts';

/** Undefined: the bundle has no image whole. `has`: it is in the bundle. */
export function formatDockerList(
  { entries, manifests }: Pick<ExportPlan, 'entries' | 'manifests'>,
  platform: Platform,
  has: (digest: Digest) => boolean,
): Buffer | undefined {
  const read = (digest: Digest) => manifests.get(digest)?.parsed;
  const images = new Map<Digest, { Config: string; RepoTags: string[]; Layers: string[] }>();
  for (const { descriptor, name } of entries) {
    const image = name === undefined ? undefined : findImage(descriptor.digest, platform, read);
    const config = image?.config;
    if (name === undefined || image === undefined || config === undefined) continue;
    if (!isImageConfigType(config.mediaType) || ![config, ...image.layers].every(({ digest }) => has(digest)))
      continue;
    const Layers = image.layers.map(({ digest }) => blobPath(digest));
    const listed = images.get(config.digest) ?? { Config: blobPath(config.digest), RepoTags: [], Layers };
    if (isTagged({ name })) listed.RepoTags.push(name);
    images.set(config.digest, listed);
  }
  return images.size === 0 ? undefined : Buffer.from(JSON.stringify([...images.values()]));
}

export function blobPath(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
}

function isTagged({ name }: Pick<BundleEntry, 'name'>): boolean {
  return name?.includes('@') === false;
}

/** The image itself; of an index the one for that platform, or else the first one that is there. */
function findImage(
  root: Digest,
  platform: Platform,
  read: (digest: Digest) => ParsedManifest | undefined,
): ParsedManifest | undefined {
  const found = read(root);
  if (found === undefined || found.kind !== 'index') return found;
  const there = found.manifests.filter(child => read(child.digest)?.kind === 'image');
  const runnable = there.filter(child => child.platform?.os !== 'unknown');
  const fitting = runnable.find(child => child.platform && fitsPlatform(child.platform, platform));
  const child = fitting ?? runnable[0];
  return child && read(child.digest);
}
