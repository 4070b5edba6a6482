/**
 * What an upstream may see when a mirror fetches everything once: the lines of `Distribution.lines()` for a cold pull,
 * worked out from the images and the client's habits, not from what the mirror did.
 */
import type { ClientKind } from './clients.ts';
import type { RealImage, RealManifest } from './image-set.ts';

/** The manifests below an image's tag that this client takes. */
function childrenFor(kind: ClientKind, image: RealImage): readonly RealManifest[] {
  return image.children.filter(child => kind.takesChildren === 'all' || child.architecture === 'amd64');
}

/** Without repository: `GET manifests/latest`, and each child by its digest. */
export function manifestLines(kind: ClientKind, images: readonly RealImage[]): string[] {
  return images
    .flatMap(image => [
      ...(kind.asksTagBy === 'HEAD'
        ? [
            `HEAD ${image.repository}/manifests/${image.tag}`,
            `GET ${image.repository}/manifests/${image.top.digest}`,
          ]
        : [`GET ${image.repository}/manifests/${image.tag}`]),
      ...childrenFor(kind, image).map(child => `GET ${image.repository}/manifests/${child.digest}`),
    ])
    .sort();
}

/** Every config and layer of all these images once, whatever image or repository it is reached by. */
export function blobDigests(kind: ClientKind, images: readonly RealImage[]): string[] {
  const manifests = images.flatMap(image => [image.top, ...childrenFor(kind, image)]);
  return [...new Set(manifests.flatMap(manifest => manifest.blobs))].sort();
}
