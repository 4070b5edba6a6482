/**
 * All that belongs to an image: the manifests below its root, for all platforms or some, and the blobs that they name. An export and an
 * import work it out with the same code, so that both mean the same by a whole image.
 */
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { blobChildren, isBlobChild, isEmptyContent } from '../oci/image-needs.ts';
import { type ChildDescriptor, type Descriptor, type ParsedManifest, parseOrKeep } from '../oci/manifest.ts';
import { walkManifests } from '../oci/manifest-walk.ts';
import { isDistributable, isIndexType } from '../oci/media-type.ts';
import { fitsPlatform, formatPlatform, type Platform } from '../oci/platform.ts';

export interface GraphBlob {
  readonly digest: Digest;
  /** Bytes. Undefined: the index that lists it doesn't say. */
  readonly size: number | undefined;
  readonly what: 'config' | 'layer' | 'blob';
  /** False: an image is whole without it (layers that registries don't hold, content that stands in its descriptor). */
  readonly isNeeded: boolean;
}

export interface GraphManifest {
  readonly descriptor: Descriptor;
  readonly parsed: ParsedManifest;
}

export interface ImageGraph {
  /** What could be read, each once, the root first. */
  readonly manifests: ReadonlyMap<Digest, GraphManifest>;
  readonly blobs: ReadonlyMap<Digest, GraphBlob>;
  /** Manifests that belong to it and could not be read, and what they are for. */
  readonly missing: ReadonlyMap<Digest, string>;
}

/** Undefined: it isn't there. The bytes have the digest. */
export type ReadGraphManifest = (named: {
  readonly digest: Digest;
  readonly mediaType: string;
}) => Promise<{ readonly bytes: Buffer; readonly mediaType: string } | undefined>;

/** Errors: those of `read`; MANIFEST_INVALID for schema 1, and for content that has no digest which is computed here. */
export async function readGraph(
  root: Pick<Descriptor, 'digest' | 'mediaType'>,
  platforms: readonly Platform[] | 'all',
  read: ReadGraphManifest,
): Promise<ImageGraph> {
  const manifests = new Map<Digest, GraphManifest>();
  const blobs = new Map<Digest, GraphBlob>();
  const missing = new Map<Digest, string>();
  const machines = new Map<Digest, string>();
  const take = async (named: { readonly digest: Digest; readonly mediaType: string }) => {
    const found = await read(named);
    if (found === undefined) return undefined;
    const { bytes } = found;
    const whole = parseOrKeep(bytes, found.mediaType);
    const parsed = platforms === 'all' ? whole : { ...whole, manifests: select(whole, bytes, platforms) };
    for (const { digest, platform } of parsed.manifests)
      machines.set(digest, platform === undefined ? 'manifest' : formatPlatform(platform));
    return { parsed, size: bytes.length };
  };
  for await (const { named, found } of walkManifests([root], take)) {
    const { digest } = named;
    if (found === undefined) {
      missing.set(digest, machines.get(digest) ?? 'manifest');
      continue;
    }
    const { parsed, size } = found;
    if (parsed.hasForeign === true)
      throw new RegistryError('MANIFEST_INVALID', {
        message: `${digest} names content under a digest that is neither sha256 nor sha512, so it cannot be checked`,
      });
    manifests.set(digest, { descriptor: { digest, mediaType: parsed.mediaType, size }, parsed });
    for (const blob of blobsOf(parsed))
      if (blobs.get(blob.digest)?.isNeeded !== true) blobs.set(blob.digest, blob);
  }
  return { manifests, blobs, missing };
}

function blobsOf(manifest: ParsedManifest): GraphBlob[] {
  const { config, layers, manifests } = manifest;
  const listed = new Map(blobChildren(manifest).map(({ digest, size }) => [digest, size]));
  return [
    ...(config === undefined ? [] : [blobOf(config, 'config')]),
    ...layers.map(layer => blobOf(layer, 'layer')),
    ...manifests.filter(isBlobChild).map(
      ({ digest }): GraphBlob => ({
        digest,
        size: listed.get(digest),
        what: 'blob',
        isNeeded: true,
      }),
    ),
  ];
}

function blobOf(descriptor: Descriptor, what: 'config' | 'layer'): GraphBlob {
  const { digest, size, mediaType, hasUrls, isEmbedded } = descriptor;
  const isElsewhere = !isDistributable(mediaType) || hasUrls === true;
  const isKnown = isEmbedded === true || isEmptyContent(digest);
  return { digest, size, what, isNeeded: !isElsewhere && !isKnown };
}

/** Of an index: the images for these platforms, what attests to them, indexes in it, and blobs that it lists. */
function select(
  { kind, manifests }: ParsedManifest,
  bytes: Buffer,
  platforms: readonly Platform[],
): readonly ChildDescriptor[] {
  if (kind !== 'index') return manifests;
  const isWanted = ({ platform, mediaType }: ChildDescriptor): boolean =>
    platform === undefined
      ? isIndexType(mediaType)
      : platforms.some(wanted => fitsPlatform(platform, wanted));
  const images = new Set(manifests.filter(isWanted).map(({ digest }) => digest));
  const attested = readAttested(bytes);
  return manifests.filter(
    child =>
      isBlobChild(child) ||
      images.has(child.digest) ||
      images.has(attested.get(child.digest) ?? child.digest),
  );
}

/** BuildKit says of an attestation in an index which image it is about. */
function readAttested(bytes: Buffer): ReadonlyMap<Digest, Digest> {
  const attested = new Map<Digest, Digest>();
  const listed: unknown = Reflect.get(Object(JSON.parse(bytes.toString('utf8'))), 'manifests');
  for (const entry of Array.isArray(listed) ? listed : []) {
    const about: unknown = Reflect.get(
      Object(Reflect.get(Object(entry), 'annotations')),
      'vnd.docker.reference.digest',
    );
    if (typeof about === 'string') attested.set(Reflect.get(Object(entry), 'digest'), about as Digest);
  }
  return attested;
}
