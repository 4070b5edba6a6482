/**
 * What a client pushes as a manifest: checked by itself, without a look at the repository, in the order of docs/registry.md,
 * "Manifests". Unknown types and fields are taken as they are.
 */
import { algorithmOf, type Digest, digestOf, isDigest } from '../oci/digest.ts';
import { excerpt, RegistryError } from '../oci/error.ts';
import {
  type Descriptor,
  manifestTooLarge,
  maxManifestBytes,
  type ParsedManifest,
  parseManifest,
  parseOther,
} from '../oci/manifest.ts';
import {
  bareMediaType,
  dockerManifest,
  isDistributable,
  isIndexType,
  isManifestType,
  isSchema1Type,
  ociManifest,
} from '../oci/media-type.ts';
import type { Reference, Tag } from '../oci/name.ts';
import type { Cause, HostedChange } from './log/hosted-log.ts';

const maxDescriptors = { image: 1000, index: 10_000 } as const;

/** What the log keeps of a manifest. */
export interface LoggedManifest {
  readonly descriptor: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly subject?: Descriptor;
  /** Config, layers and children, each once. */
  readonly names: readonly Digest[];
}

export interface PushedManifest extends LoggedManifest {
  /** What it names with a size, blobs and manifests, as often as it does. */
  readonly named: readonly Pick<Descriptor, 'digest' | 'size'>[];
  /** The blobs that the repository must have, each once. */
  readonly needed: readonly Digest[];
}

/** `contentType`: of the request; empty: it had none. Errors: MANIFEST_INVALID (413 above 4 MiB), DIGEST_INVALID. */
export function readPushedManifest(bytes: Buffer, contentType: string, reference: Reference): PushedManifest {
  if (bytes.length > maxManifestBytes) throw manifestTooLarge();
  const digest = isDigest(reference) ? digestOf(bytes, algorithmOf(reference)) : digestOf(bytes);
  if (isDigest(reference) && reference !== digest) {
    throw new RegistryError('DIGEST_INVALID', {
      message: `the ${bytes.length} bytes that came have the digest ${digest}`,
    });
  }
  const body = readObject(bytes);
  requireSameType(body['mediaType'], contentType);
  requireFewDescriptors(body);
  const parsed = isUnknownShape(body, contentType)
    ? parseOther(bytes, contentType || String(body['mediaType']))
    : parseManifest(bytes, contentType);
  requireParts(parsed);
  return {
    ...describeManifest({ mediaType: parsed.mediaType, digest, size: bytes.length }, parsed),
    named: listNamed(parsed).flatMap(({ digest, size }) => (size === undefined ? [] : [{ digest, size }])),
    needed: listNeededBlobs(parsed),
  };
}

export function describeManifest(descriptor: Descriptor, parsed: ParsedManifest): LoggedManifest {
  const { config, subject, annotations } = parsed;
  const artifactType = parsed.artifactType ?? config?.mediaType;
  return {
    descriptor,
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations && { annotations }),
    ...(subject && { subject }),
    names: [...new Set(listNamed(parsed).map(({ digest }) => digest))],
  };
}

/** The change by which a repository gets it. */
export function toManifestChange(manifest: LoggedManifest, tags: readonly Tag[], cause: Cause): HostedChange {
  const { descriptor, artifactType, annotations, subject, names } = manifest;
  return {
    type: 'manifest',
    descriptor,
    tags,
    names,
    ...(artifactType !== undefined && { artifactType }),
    ...(annotations && { annotations }),
    ...(subject && { subject: subject.digest }),
    ...cause,
  };
}

function listNamed({ config, layers, manifests }: ParsedManifest): ParsedManifest['manifests'] {
  return [...(config === undefined ? [] : [config]), ...layers, ...manifests];
}

/** The blobs that a repository must have before it can have the manifest, each once. */
export function listNeededBlobs({ config, layers }: ParsedManifest): readonly Digest[] {
  const own = layers.filter(({ mediaType, hasUrls }) => isDistributable(mediaType) && hasUrls !== true);
  return [...new Set((config === undefined ? own : [config, ...own]).map(({ digest }) => digest))];
}

type JsonObject = Readonly<Record<string, unknown>>;

function readObject(bytes: Buffer): JsonObject {
  let body: unknown;
  try {
    body = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw invalid(`the ${bytes.length} bytes that came are no JSON`, cause);
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw invalid('a manifest is a JSON object');
  return { ...body };
}

function requireSameType(own: unknown, contentType: string): void {
  if (own === undefined || own === null) return;
  if (typeof own !== 'string') throw invalid('the mediaType of the manifest is no text');
  if (contentType === '' || bareMediaType(own) === bareMediaType(contentType)) return;
  const [said, sent] = [excerpt(own), excerpt(contentType)];
  throw invalid(`the manifest says that its mediaType is ${said}, and the request's Content-Type is ${sent}`);
}

/** Counted before anything of them is read. */
function requireFewDescriptors({ config, layers, blobs, manifests }: JsonObject): void {
  const countOf = (list: unknown): number => (Array.isArray(list) ? list.length : 0);
  const inImage = countOf(layers) + countOf(blobs) + (config === undefined ? 0 : 1);
  if (inImage > maxDescriptors.image)
    throw invalid(`an image has at most ${maxDescriptors.image} descriptors, this one has ${inImage}`);
  const inIndex = countOf(manifests);
  if (inIndex > maxDescriptors.index)
    throw invalid(`an index has at most ${maxDescriptors.index} manifests, this one has ${inIndex}`);
}

/** Of a type and a shape that no specification here describes: it is kept, and nothing in it but subject, annotations and artifact type is read. */
function isUnknownShape(body: JsonObject, contentType: string): boolean {
  const type = bareMediaType(contentType || String(body['mediaType'] ?? ''));
  if (type === '' || isManifestType(type) || isSchema1Type(type) || body['schemaVersion'] === 1) return false;
  return ['config', 'layers', 'blobs', 'manifests'].every(key => body[key] === undefined);
}

/** What the types of OCI and Docker can't be without. */
function requireParts({ mediaType, kind, config, hasForeign }: ParsedManifest): void {
  const isImage = [ociManifest, dockerManifest].includes(mediaType);
  if (isImage && config === undefined) throw invalid('an image manifest names a config');
  if (hasForeign === true && kind === 'image' && !isIndexType(mediaType))
    throw invalid('it names content under a digest that is neither sha256 nor sha512');
}

function invalid(message: string, cause?: unknown): RegistryError {
  return new RegistryError('MANIFEST_INVALID', { message, ...(cause !== undefined && { cause }) });
}
