/**
 * Manifests and the descriptors that they name: config, layers, children, subject. Only that is read and checked; unknown fields are ignored
 * and the bytes are never rewritten (OCI image-spec "Image Manifest", "Image Index", "OCI Content Descriptors").
 */
import { type Digest, isDigest } from './digest.ts';
import { excerpt, RegistryError } from './error.ts';
import {
  bareMediaType,
  isGenericType,
  isIndexType,
  isManifestType,
  isSchema1Type,
  ociIndex,
  ociManifest,
  octetStream,
} from './media-type.ts';

/** Registries take at least 4 MiB (OCI distribution-spec "Pushing Manifests"), and clients give up there: a larger blob is no manifest. Bytes. */
export const maxManifestBytes = 4 * 1024 * 1024;

/** What a manifest says about content that it names. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
}

/** Which machine a child of an index is for (OCI image-spec "Image Index", `platform`). */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  readonly osVersion?: string;
}

export interface ChildDescriptor extends Descriptor {
  readonly platform?: Platform;
}

export interface ParsedManifest {
  readonly kind: 'image' | 'index';
  /** As received when it says something; otherwise found in the body. Without parameters. */
  readonly mediaType: string;
  readonly config?: Descriptor;
  /** Empty for an index. */
  readonly layers: readonly Descriptor[];
  /** Empty for an image. */
  readonly manifests: readonly ChildDescriptor[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What may stand in a manifest, a descriptor or a platform; nothing of it is believed before it is checked. */
type JsonObject = Readonly<Partial<Record<JsonKey, unknown>>>;
type JsonKey =
  | 'schemaVersion'
  | 'mediaType'
  | 'artifactType'
  | 'annotations'
  | 'subject'
  | 'config'
  | 'layers'
  | 'blobs'
  | 'manifests'
  | 'digest'
  | 'size'
  | 'platform'
  | 'os'
  | 'os.version'
  | 'architecture'
  | 'variant';

/**
 * Reads a manifest whose `mediaType` came with it (a Content-Type; may be generic or empty).
 * Errors: MANIFEST_INVALID for a body that isn't JSON, for schema 1, and for descriptors without a digest and a size.
 */
export function parseManifest(bytes: Uint8Array, mediaType: string): ParsedManifest {
  const body = parseBody(bytes);
  const { mediaType: type, isIndex } = typeOf(body, mediaType);
  const config = isIndex ? undefined : parseOptional(body.config, 'config');
  const subject = parseOptional(body.subject, 'subject');
  const artifactType = body.artifactType;
  const annotations = parseAnnotations(body.annotations);
  return {
    kind: isIndex ? 'index' : 'image',
    mediaType: type,
    layers: isIndex ? [] : parseList(body, body.layers === undefined ? 'blobs' : 'layers', descriptorAt),
    manifests: isIndex ? parseList(body, 'manifests', parseChild) : [],
    ...(config && { config }),
    ...(subject && { subject }),
    ...(typeof artifactType === 'string' && artifactType !== '' && { artifactType }),
    ...(annotations && { annotations }),
  };
}

/** A descriptor that this program wrote itself, with all three fields. Undefined for anything else. */
export function parseDescriptor(value: unknown): Descriptor | undefined {
  if (!isObject(value)) return undefined;
  const { mediaType, digest, size } = value;
  if (typeof mediaType !== 'string' || typeof digest !== 'string' || !isDigest(digest)) return undefined;
  return isSize(size) ? { mediaType, digest, size } : undefined;
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function invalid(expected: string, got: unknown, cause?: unknown): RegistryError {
  const shown = typeof got === 'string' ? excerpt(got) : got === null ? 'null' : typeof got;
  return new RegistryError('MANIFEST_INVALID', { message: `expected ${expected}, got ${shown}`, cause });
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseBody(bytes: Uint8Array): JsonObject {
  let body: unknown;
  try {
    body = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
  } catch (cause) {
    throw invalid('a manifest in JSON', `${bytes.byteLength} bytes that are not`, cause);
  }
  if (!isObject(body)) throw invalid('a manifest that is a JSON object', body);
  if (body.schemaVersion === 1) throw invalid('schemaVersion 2', 'schema 1');
  return body;
}

/**
 * The type that the sender gave, else the body's own word, else what the shape is in OCI (where a body need not say it).
 * A type that isn't in our table is kept, and the shape says what it is.
 */
function typeOf(body: JsonObject, header: string): { mediaType: string; isIndex: boolean } {
  const own = typeof body.mediaType === 'string' ? bareMediaType(body.mediaType) : '';
  const said = isGenericType(header) ? own : bareMediaType(header);
  if (isSchema1Type(said)) throw invalid('an index or an image manifest', said);
  if (isManifestType(said)) return { mediaType: said, isIndex: isIndexType(said) };
  const isIndex = isIndexType(own) || Array.isArray(body.manifests);
  if (!isIndex && !Array.isArray(body.layers) && !isObject(body.config)) {
    throw invalid('an index or an image manifest', said);
  }
  return { mediaType: isGenericType(said) ? (isIndex ? ociIndex : ociManifest) : said, isIndex };
}

function parseList<T>(
  body: JsonObject,
  key: 'layers' | 'blobs' | 'manifests',
  parse: (value: unknown, where: string) => T,
): T[] {
  const list = body[key] ?? [];
  if (!Array.isArray(list)) throw invalid(`a list under ${key}`, list);
  return list.map((value, at) => parse(value, `${key}[${at}]`));
}

/** Absent and `null` are the same: Go writes `null` for what isn't there. */
function parseOptional(value: unknown, where: string): Descriptor | undefined {
  return value === undefined || value === null ? undefined : descriptorAt(value, where);
}

function descriptorAt(value: unknown, where: string): Descriptor {
  if (!isObject(value)) throw invalid(`a descriptor under ${where}`, value);
  const { digest, size, mediaType } = value;
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(`a digest under ${where}`, digest);
  if (!isSize(size)) throw invalid(`a size in bytes under ${where}`, String(size));
  return { mediaType: typeof mediaType === 'string' ? mediaType : octetStream, digest, size };
}

function parseChild(value: unknown, where: string): ChildDescriptor {
  const descriptor = descriptorAt(value, where);
  const platform = isObject(value) ? parsePlatform(value.platform) : undefined;
  return platform === undefined ? descriptor : { ...descriptor, platform };
}

function parsePlatform(value: unknown): Platform | undefined {
  if (!isObject(value)) return undefined;
  const { os, architecture, variant, 'os.version': osVersion } = value;
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  return {
    os,
    architecture,
    ...(typeof variant === 'string' && { variant }),
    ...(typeof osVersion === 'string' && { osVersion }),
  };
}

function parseAnnotations(value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined;
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}
