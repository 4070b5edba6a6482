/**
 * What a client needs of an image before it can use it: which of the blobs that a manifest names must be held, so that the
 * image counts as held whole (docs/behaviour.md, "Stale answers"). Pure rules; what is held is the caller's to know.
 */
import type { Digest } from './digest.ts';
import type { ChildDescriptor, Descriptor, ParsedManifest } from './manifest.ts';
import {
  bareMediaType,
  buildCacheConfigType,
  emptyConfigType,
  isBlobType,
  isDistributable,
  isImageConfigType,
  isLayerType,
} from './media-type.ts';

/** Of `{}` (OCI image-spec "Guidance for an Empty Descriptor"): clients know its content without fetching it. */
const emptyDigest = 'sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a';

/**
 * The blobs that must be held. A blob that clients usually leave alone (the config of an artifact, the layers of a build
 * cache) must be held only when it was asked for before: then it is here, or an eviction took it.
 */
export function neededBlobs(
  manifest: ParsedManifest,
  wasAsked: (digest: Digest) => boolean,
): readonly Descriptor[] {
  const { config, layers } = manifest;
  const isCache = config !== undefined && bareMediaType(config.mediaType) === buildCacheConfigType;
  const needed = layers.filter(
    layer =>
      isDistributable(layer.mediaType) && layer.isEmbedded !== true && (!isCache || wasAsked(layer.digest)),
  );
  if (config === undefined || isEmpty(config) || config.isEmbedded === true) return needed;
  const mayLack = isArtifact(manifest) && !isCache;
  return mayLack && !wasAsked(config.digest) ? needed : [config, ...needed];
}

/** Something else than an image that can run: a signature, a chart, a bill of materials. */
export function isArtifact({ artifactType, config, layers }: ParsedManifest): boolean {
  if (artifactType !== undefined || config === undefined || !isImageConfigType(config.mediaType)) return true;
  return layers.length > 0 && !layers.some(layer => isLayerType(layer.mediaType)); // cosign says it is an image
}

/** An index lists manifests; BuildKit's caches list blobs there. */
export function isBlobChild({ mediaType }: ChildDescriptor): boolean {
  return isBlobType(mediaType);
}

/** Those of an index, as descriptors of blobs. One without a size has none that could be checked. */
export function blobChildren({ manifests }: ParsedManifest): readonly Descriptor[] {
  return manifests.flatMap(child => {
    if (!isBlobChild(child) || child.size === undefined) return [];
    return [{ mediaType: child.mediaType, digest: child.digest, size: child.size }];
  });
}

/** `{}`, which needs no fetching. */
export function isEmptyContent(digest: Digest): boolean {
  return digest === emptyDigest;
}

function isEmpty({ mediaType, digest }: Descriptor): boolean {
  return isEmptyContent(digest) || bareMediaType(mediaType) === emptyConfigType;
}
