/**
 * `index.json` of a bundle (OCI image-spec "Image Layout"): the images with their canonical names, under which an import brings them back.
 * What else an import needs to know stands in annotations of our own, which other tools pass over.
 */
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import { type Descriptor, parseDescriptor } from '../oci/manifest.ts';
import { ociIndex } from '../oci/media-type.ts';
import { formatPlatform, type Platform, parsePlatformText } from '../oci/platform.ts';

export interface BundleEntry {
  readonly descriptor: Descriptor;
  /** `docker.io/library/alpine:3.20`, `team/app@sha256:…`; undefined: it refers to an image of the bundle. */
  readonly name?: string;
  /** What was taken of an index; `all`: everything. Undefined: another tool wrote the bundle, and may have left out what it liked. */
  readonly platforms?: readonly Platform[] | 'all';
  /** When the upstream last confirmed the tag: milliseconds since the epoch. */
  readonly checkedAt?: number;
  /** Its repository is not open to all at the upstream. */
  readonly isPrivate?: boolean;
  readonly artifactType?: string;
}

/** Larger than any that is written here; it is read as one piece. Bytes. */
export const maxIndexBytes = 4 * 1024 * 1024;
const maxListed = 10_000;

const refName = 'org.opencontainers.image.ref.name';
const imageName = 'io.containerd.image.name';
const keys = {
  platforms: 'cistern.bundle.platforms',
  checkedAt: 'cistern.bundle.checked-at',
  visibility: 'cistern.bundle.visibility',
} as const;

export function formatIndex(entries: readonly BundleEntry[]): Buffer {
  const manifests = entries.map(({ descriptor, artifactType, ...entry }) => {
    const { mediaType, digest, size } = descriptor;
    const annotations = annotationsOf(entry);
    return {
      mediaType,
      digest,
      size,
      ...(artifactType !== undefined && { artifactType }),
      ...(Object.keys(annotations).length > 0 && { annotations }),
    };
  });
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: ociIndex, manifests }));
}

function annotationsOf({ name, platforms, checkedAt, isPrivate }: Omit<BundleEntry, 'descriptor'>) {
  const platformText = platforms === 'all' ? platforms : platforms?.map(formatPlatform).join(',');
  return {
    ...(name !== undefined && { [imageName]: name, [refName]: name }),
    ...(platformText !== undefined && { [keys.platforms]: platformText }),
    ...(checkedAt !== undefined && { [keys.checkedAt]: new Date(checkedAt).toISOString() }),
    ...(isPrivate === true && { [keys.visibility]: 'private' }),
  };
}

/** Errors: MANIFEST_INVALID. */
export function parseIndex(bytes: Buffer): readonly BundleEntry[] {
  let index: unknown;
  try {
    index = JSON.parse(bytes.toString('utf8'));
  } catch {
    throw new RegistryError('MANIFEST_INVALID', { message: 'index.json of the bundle is not JSON' });
  }
  const listed: unknown = Reflect.get(Object(index), 'manifests');
  if (!Array.isArray(listed))
    throw new RegistryError('MANIFEST_INVALID', { message: 'index.json of the bundle lists no manifests' });
  if (listed.length > maxListed)
    throw new RegistryError('MANIFEST_INVALID', {
      message: `index.json of the bundle lists ${listed.length} manifests, and at most ${maxListed} are read`,
    });
  return listed.map(parseEntry);
}

function parseEntry(value: unknown): BundleEntry {
  const descriptor = parseDescriptor(value);
  if (descriptor === undefined)
    throw new RegistryError('MANIFEST_INVALID', {
      message: 'index.json of the bundle lists a manifest without a sha256 or sha512 digest and a size',
    });
  const noted: unknown = Reflect.get(Object(value), 'annotations');
  const textOf = (key: string): string | undefined => {
    const text: unknown = Reflect.get(Object(noted), key);
    return typeof text === 'string' && text !== '' ? text : undefined;
  };
  const name = [textOf(imageName), textOf(refName)].find(text => text !== undefined && isFullName(text));
  const platforms = parsePlatforms(textOf(keys.platforms), descriptor.digest);
  const checkedAt = Date.parse(textOf(keys.checkedAt) ?? '');
  return {
    descriptor,
    ...(name !== undefined && { name }),
    ...(platforms !== undefined && { platforms }),
    ...(!Number.isNaN(checkedAt) && { checkedAt }),
    ...(textOf(keys.visibility) === 'private' && { isPrivate: true }),
  };
}

/** Some tools write the tag alone (`3.20`), which names no image. */
function isFullName(text: string): boolean {
  return /[:@/]/.test(text);
}

function parsePlatforms(text: string | undefined, digest: Digest): BundleEntry['platforms'] {
  if (text === undefined || text === 'all') return text;
  return text.split(',').map(part => {
    const platform = parsePlatformText(part);
    if (platform !== undefined) return platform;
    const message = `index.json of the bundle names platforms of ${digest} that cannot be read`;
    throw new RegistryError('MANIFEST_INVALID', { message });
  });
}
