/**
 * Media types of manifests and layers (OCI image-spec "Media Types" and their Docker forerunners). Comparisons ignore case and
 * parameters (`; charset=utf-8`), which some registries add.
 */

export const ociIndex = 'application/vnd.oci.image.index.v1+json';
export const ociManifest = 'application/vnd.oci.image.manifest.v1+json';
/** Dropped from the OCI specification before 1.1, still found in registries. Its content is under `blobs`. */
export const ociArtifactManifest = 'application/vnd.oci.artifact.manifest.v1+json';
export const dockerManifestList = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';
export const dockerSchema1 = 'application/vnd.docker.distribution.manifest.v1+json';
export const dockerSchema1Signed = 'application/vnd.docker.distribution.manifest.v1+prettyjws';
export const octetStream = 'application/octet-stream';

export const emptyConfigType = 'application/vnd.oci.empty.v1+json';
export const buildCacheConfigType = 'application/vnd.buildkit.cacheconfig.v0';

const imageConfigTypes: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]);
const layerPrefixes = ['application/vnd.oci.image.layer.', 'application/vnd.docker.image.rootfs.'];
const nonDistributablePrefix = 'application/vnd.oci.image.layer.nondistributable.';
const dockerForeignPrefix = 'application/vnd.docker.image.rootfs.foreign.';
const genericTypes: ReadonlySet<string> = new Set([
  '',
  'text/plain',
  'text/html',
  'application/json',
  octetStream,
]);

/**
 * The one Accept that goes upstream. It names every type that is kept, so that no registry converts anything;
 * `*` for artifacts with types of their own.
 */
export const manifestAccept = [
  ociIndex,
  dockerManifestList,
  ociManifest,
  dockerManifest,
  ociArtifactManifest,
  '*/*',
].join(', ');

/** Without parameters, in lower case. */
export function bareMediaType(mediaType: string): string {
  const semicolon = mediaType.indexOf(';');
  return (semicolon === -1 ? mediaType : mediaType.slice(0, semicolon)).trim().toLowerCase();
}

/** RFC 6838 4.2 allows 127 characters on each side. */
const maxMediaTypeLength = 255;
/** RFC 9110 8.3.1: token "/" token. */
const mediaTypePattern = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+\/[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** A type as it may stand in a header: without parameters; `application/octet-stream` for text that is no media type. */
export function fitMediaType(mediaType: string): string {
  const bare = bareMediaType(mediaType);
  return bare.length <= maxMediaTypeLength && mediaTypePattern.test(bare) ? bare : octetStream;
}

export function isIndexType(mediaType: string): boolean {
  const bare = bareMediaType(mediaType);
  return bare === ociIndex || bare === dockerManifestList;
}

export function isImageManifestType(mediaType: string): boolean {
  const bare = bareMediaType(mediaType);
  return bare === ociManifest || bare === dockerManifest || bare === ociArtifactManifest;
}

/** An index or an image manifest; schema 1 is neither. */
export function isManifestType(mediaType: string): boolean {
  return isIndexType(mediaType) || isImageManifestType(mediaType);
}

/** Docker's schema 1 has no descriptors, so nothing below it can be verified: it is not mirrored. */
export function isSchema1Type(mediaType: string): boolean {
  const bare = bareMediaType(mediaType);
  return bare === dockerSchema1 || bare === dockerSchema1Signed;
}

/** A type that says nothing about the content: the body is looked at. */
export function isGenericType(mediaType: string): boolean {
  return genericTypes.has(bareMediaType(mediaType));
}

/** False for layers that registries need not hold (Windows base layers): an image is complete without them. */
export function isDistributable(layerMediaType: string): boolean {
  const bare = bareMediaType(layerMediaType);
  return !bare.startsWith(nonDistributablePrefix) && !bare.startsWith(dockerForeignPrefix);
}

/** The config of an image that can run. */
export function isImageConfigType(mediaType: string): boolean {
  return imageConfigTypes.has(bareMediaType(mediaType));
}

/** A file system layer of an image. */
export function isLayerType(mediaType: string): boolean {
  const bare = bareMediaType(mediaType);
  return layerPrefixes.some(prefix => bare.startsWith(prefix));
}

/** What an index lists under that type is a blob although it stands among the manifests (BuildKit's caches). */
export function isBlobType(mediaType: string): boolean {
  const bare = bareMediaType(mediaType);
  return isLayerType(bare) || imageConfigTypes.has(bare) || bare === buildCacheConfigType;
}
