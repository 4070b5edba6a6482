/**
 * Manifests and the descriptors that they name: config, layers, children, subject. Only that is read and checked; unknown fields are ignored
 * and the bytes are never rewritten (OCI image-spec "Image Manifest", "Image Index", "OCI Content Descriptors").
 */
import { type Digest, isDigest, isForeignDigest } from './digest.ts';
import { excerpt, RegistryError } from './error.ts';
import {
  fitMediaType,
  isGenericType,
  isIndexType,
  isManifestType,
  isSchema1Type,
  ociIndex,
  ociManifest,
  octetStream,
} from './media-type.ts';
import { type Platform, parsePlatform } from './platform.ts';

/** Registries take at least 4 MiB (OCI distribution-spec "Pushing Manifests"), and clients give up there: a larger blob is no manifest. Bytes. */
export const maxManifestBytes = 4 * 1024 * 1024;

export function manifestTooLarge(): RegistryError {
  const message = `a manifest has at most ${maxManifestBytes} bytes`;
  return new RegistryError('MANIFEST_INVALID', { status: 413, message });
}

/** What a manifest says about content that it names. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  /** The content stands in the descriptor itself (OCI image-spec, `data`): a client need not fetch it. */
  readonly isEmbedded?: boolean;
  /** It names other places to fetch the content from (`urls`), so a registry need not hold it. */
  readonly hasUrls?: boolean;
}

/** Some tools leave out the size. */
export interface ChildDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size?: number;
  readonly platform?: Platform;
  /** It is BuildKit's attestation of that child. */
  readonly attestationOf?: Digest;
}

export interface ParsedManifest {
  /** `other`: kept as it came, nothing in it is read. */
  readonly kind: 'image' | 'index' | 'other';
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
  /** It names content under a digest that can't be computed here, so that content is never held. */
  readonly hasForeign?: boolean;
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
  | 'data'
  | 'urls'
  | 'platform';

/**
 * Reads a manifest whose `mediaType` came with it (a Content-Type; may be generic or empty).
 * Errors: MANIFEST_INVALID for a body that isn't JSON, for schema 1, and for descriptors without a digest and a size.
 */
export function parseManifest(bytes: Uint8Array, mediaType: string): ParsedManifest {
  const body = parseBody(bytes);
  const { mediaType: type, isIndex } = typeOf(body, mediaType);
  const config = isIndex ? undefined : parseOptional(body.config, 'config');
  const layers = isIndex ? [] : parseList(body, body.layers === undefined ? 'blobs' : 'layers', descriptorAt);
  const manifests = isIndex ? parseList(body, 'manifests', parseChild) : [];
  const hasForeign = [config, ...layers, ...manifests].includes('foreign');
  return {
    kind: isIndex ? 'index' : 'image',
    mediaType: type,
    layers: layers.filter(isOwn),
    manifests: manifests.filter(isOwn),
    ...(hasForeign && { hasForeign }),
    ...(isOwn(config) && { config }),
    ...parseCommon(body),
  };
}

/**
 * Reads what a manifest of any type may have; config, layers and children are left alone. Errors: MANIFEST_INVALID for a
 * body that isn't JSON and for a malformed subject.
 */
export function parseOther(bytes: Uint8Array, mediaType: string): ParsedManifest {
  const common = parseCommon(parseBody(bytes));
  return { kind: 'other', mediaType: fitMediaType(mediaType), layers: [], manifests: [], ...common };
}

function parseCommon({ subject: given, artifactType, annotations: notes }: JsonObject) {
  const subject = parseOptional(given, 'subject');
  const annotations = parseAnnotations(notes);
  return {
    ...(isOwn(subject) && { subject }),
    ...(typeof artifactType === 'string' && artifactType !== '' && { artifactType }),
    ...(annotations && { annotations }),
  };
}

/**
 * As `parseManifest`, for bytes whose digest is right and that an upstream gave as a manifest: what can't be read is kept
 * as it is, under the type that it came with. Errors: MANIFEST_INVALID for schema 1.
 */
export function parseOrKeep(bytes: Uint8Array, mediaType: string): ParsedManifest {
  try {
    return parseManifest(bytes, mediaType);
  } catch (error) {
    const type = fitMediaType(mediaType);
    if (!(error instanceof RegistryError) || isSchema1Type(type) || isSchema1(readObject(bytes))) throw error;
    return { kind: 'other', mediaType: type, layers: [], manifests: [] };
  }
}

/**
 * The bytes say themselves that they are a manifest. For content that came as a blob: a client that gets a manifest there
 * would keep a wrong type for it.
 */
export function looksLikeManifest(bytes: Uint8Array): boolean {
  if (
    bytes.length > maxManifestBytes ||
    !/^\s*\{/.test(Buffer.from(bytes.subarray(0, 64)).toString('latin1'))
  )
    return false;
  const body = readObject(bytes);
  if (body === undefined) return false;
  const { mediaType, schemaVersion, config, layers, manifests } = body;
  if (typeof mediaType === 'string' && mediaType !== '')
    return isManifestType(mediaType) || isSchema1Type(mediaType);
  if (schemaVersion === 1) return isSchema1(body);
  return schemaVersion === 2 && (Array.isArray(manifests) || (isObject(config) && Array.isArray(layers)));
}

function readObject(bytes: Uint8Array): JsonObject | undefined {
  try {
    const body: unknown = JSON.parse(
      Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'),
    );
    return isObject(body) ? body : undefined;
  } catch {
    return undefined; // not JSON: the caller says what that means
  }
}

function isSchema1(body: JsonObject | undefined): boolean {
  return body?.schemaVersion === 1 && 'fsLayers' in body;
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
  const own = typeof body.mediaType === 'string' && body.mediaType !== '' ? fitMediaType(body.mediaType) : '';
  const said = isGenericType(header) ? own : fitMediaType(header);
  if (isSchema1Type(said)) throw invalid('an index or an image manifest', said);
  if (isManifestType(said)) return { mediaType: said, isIndex: isIndexType(said) };
  const isIndex = isIndexType(own) || Array.isArray(body.manifests);
  if (!isIndex && !Array.isArray(body.layers) && !isObject(body.config)) {
    throw invalid('an index or an image manifest', said);
  }
  if (said === octetStream && own === octetStream) return { mediaType: octetStream, isIndex };
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
function parseOptional(value: unknown, where: string): Descriptor | 'foreign' | undefined {
  return value === undefined || value === null ? undefined : descriptorAt(value, where);
}

/** Names content under a digest that is computed here. */
function isOwn<T extends object>(descriptor: T | 'foreign' | undefined): descriptor is T {
  return descriptor !== undefined && descriptor !== 'foreign';
}

function descriptorAt(value: unknown, where: string): Descriptor | 'foreign' {
  const named = namedAt(value, where);
  if (named === 'foreign') return named;
  const { size, data, urls, ...rest } = named;
  if (!isSize(size)) throw invalid(`a size in bytes under ${where}`, String(size));
  const isEmbedded = typeof data === 'string' && Buffer.byteLength(data, 'base64') === size;
  const hasUrls = Array.isArray(urls) && urls.length > 0;
  return { ...rest, size, ...(isEmbedded && { isEmbedded }), ...(hasUrls && { hasUrls }) };
}

function namedAt(value: unknown, where: string) {
  if (!isObject(value)) throw invalid(`a descriptor under ${where}`, value);
  const { digest, size, mediaType, data, urls } = value;
  if (typeof digest === 'string' && isForeignDigest(digest)) return 'foreign';
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(`a digest under ${where}`, digest);
  return {
    mediaType: typeof mediaType === 'string' ? fitMediaType(mediaType) : octetStream,
    digest,
    size,
    data,
    urls,
  };
}

function parseChild(value: unknown, where: string): ChildDescriptor | 'foreign' {
  const named = namedAt(value, where);
  if (named === 'foreign') return named;
  const { mediaType, digest, size } = named;
  if (size !== undefined && size !== null && !isSize(size))
    throw invalid(`a size in bytes under ${where}`, String(size));
  const platform = isObject(value) ? parsePlatform(value.platform) : undefined;
  const annotations = isObject(value) ? parseAnnotations(value.annotations) : undefined;
  const attested = annotations?.['vnd.docker.reference.digest'] ?? '';
  return {
    mediaType,
    digest,
    ...(isSize(size) && { size }),
    ...(platform && { platform }),
    ...(isDigest(attested) && { attestationOf: attested }),
  };
}

function parseAnnotations(value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined;
  return Object.fromEntries(
    Object.entries(value).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  );
}
