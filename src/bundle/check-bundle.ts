/**
 * The images of a bundle whose content has come: each one is checked whole, with all that its manifests name, and what refers to it is
 * found. An image that lacks anything is refused by the name of what it lacks.
 */
import type { Digest } from '../oci/digest.ts';
import { RegistryError } from '../oci/error.ts';
import type { Descriptor, ParsedManifest } from '../oci/manifest.ts';
import type { ImportedReferrer } from '../registry/image-import.ts';
import { type GraphBlob, type ImageGraph, readGraph } from './image-graph.ts';
import type { BundleEntry } from './image-list.ts';
import { type BlobTarget, invalid, readVerified } from './read-bundle.ts';

export interface CheckedImage {
  readonly entry: BundleEntry & { readonly name: string };
  readonly root: Descriptor;
  /** What is named before what names it. */
  readonly manifests: readonly Descriptor[];
  /** Bytes by digest. */
  readonly blobs: ReadonlyMap<Digest, number>;
  readonly referrers: ReadonlyMap<Digest, readonly ImportedReferrer[]>;
}

const shownDigests = 5;

export interface CheckedBundle {
  /** Worked out one at a time, each time anew. */
  images(): Iterable<CheckedImage>;
  /** Without a name, and referring to no image of the bundle. */
  readonly unrelated: readonly Digest[];
}

interface CheckedPart {
  readonly root: ImportedReferrer;
  readonly manifests: readonly Descriptor[];
  readonly blobs: ReadonlyMap<Digest, number>;
  readonly subject: Digest | undefined;
}

/**
 * Errors: MANIFEST_INVALID, BLOB_UPLOAD_INVALID; MANIFEST_BLOB_UNKNOWN for what is neither in the bundle nor held.
 */
export async function checkBundle(
  entries: readonly BundleEntry[],
  target: Pick<BlobTarget, 'hold' | 'read'>,
): Promise<CheckedBundle> {
  const named: { readonly entry: CheckedImage['entry']; readonly part: CheckedPart }[] = [];
  const bySubject = new Map<Digest, CheckedPart[]>();
  const unnamed: CheckedPart[] = [];
  for (const entry of entries) {
    const { name } = entry;
    const part = await checkPart(entry, target);
    if (name !== undefined) named.push({ entry: { ...entry, name }, part });
    else {
      unnamed.push(part);
      if (part.subject !== undefined)
        bySubject.set(part.subject, [...(bySubject.get(part.subject) ?? []), part]);
    }
  }
  if (named.length === 0)
    throw invalid(
      'its index.json names no image: no annotation has a whole name such as docker.io/library/alpine:3.20',
    );
  const known = new Set(
    [...named.map(({ part }) => part), ...unnamed].flatMap(part =>
      part.manifests.map(({ digest }) => digest),
    ),
  );
  const unrelated = unnamed.filter(({ subject }) => subject === undefined || !known.has(subject));
  return {
    unrelated: unrelated.map(({ root }) => root.digest),
    *images() {
      for (const { entry, part } of named) yield withReferrers(entry, part, bySubject);
    },
  };
}

/** An image with what refers to it, to that, and so on. */
function withReferrers(
  entry: CheckedImage['entry'],
  image: CheckedPart,
  bySubject: ReadonlyMap<Digest, readonly CheckedPart[]>,
): CheckedImage {
  const manifests = new Map(image.manifests.map(manifest => [manifest.digest, manifest]));
  const blobs = new Map(image.blobs);
  const referrers = new Map<Digest, readonly ImportedReferrer[]>();
  // a map goes on to what is added to it meanwhile
  for (const subject of manifests.keys()) {
    const parts = bySubject.get(subject) ?? [];
    if (parts.length > 0)
      referrers.set(
        subject,
        parts.map(({ root }) => root),
      );
    for (const part of parts) {
      for (const manifest of part.manifests) manifests.set(manifest.digest, manifest);
      for (const [digest, size] of part.blobs) blobs.set(digest, size);
    }
  }
  const { mediaType, digest, size } = image.root;
  return { entry, root: { mediaType, digest, size }, manifests: [...manifests.values()], blobs, referrers };
}

async function checkPart(
  entry: BundleEntry,
  target: Pick<BlobTarget, 'hold' | 'read'>,
): Promise<CheckedPart> {
  const { descriptor, platforms } = entry;
  const name = entry.name ?? descriptor.digest;
  const graph = await readGraph(descriptor, platforms ?? 'all', async ({ digest, mediaType }) => {
    if ((await target.hold(digest)) === undefined) return undefined;
    const bytes = await readVerified(target, digest);
    return bytes && { bytes, mediaType };
  });
  const root = graph.manifests.get(descriptor.digest);
  if (root === undefined) throw lacking(name, [[descriptor.digest, 'manifest']]);
  if (root.descriptor.size !== descriptor.size)
    throw wrongSize('index.json', descriptor, root.descriptor.size);
  requireManifests(name, graph, platforms !== undefined);
  const blobs = await requireBlobs(name, graph, target);
  return {
    root: { ...root.descriptor, ...describe(root.parsed) },
    manifests: [...graph.manifests.values()].map(manifest => manifest.descriptor).reverse(),
    blobs,
    subject: root.parsed.subject?.digest,
  };
}

/** The type of the config counts where the manifest has none of its own. */
function describe({
  artifactType,
  config,
  annotations,
}: ParsedManifest): Pick<ImportedReferrer, 'artifactType' | 'annotations'> {
  const type = artifactType ?? config?.mediaType;
  return { ...(type !== undefined && { artifactType: type }), ...(annotations && { annotations }) };
}

/** Other tools may leave images of an index out, and don't say which; one must be there. */
function requireManifests(name: string, graph: ImageGraph, isStrict: boolean): void {
  if (graph.missing.size === 0) return;
  const hasImage = [...graph.manifests.values()].some(({ parsed }) => parsed.kind !== 'index');
  if (isStrict || !hasImage) throw lacking(name, [...graph.missing]);
}

async function requireBlobs(
  name: string,
  { blobs, manifests }: ImageGraph,
  target: Pick<BlobTarget, 'hold'>,
): Promise<ReadonlyMap<Digest, number>> {
  const sizes = new Map<Digest, number>();
  const missing: [Digest, string][] = [];
  for (const blob of blobs.values()) {
    const size = await target.hold(blob.digest);
    if (size !== undefined) {
      if (size !== (blob.size ?? size)) throw wrongSize(namerOf(blob, manifests), blob, size);
      sizes.set(blob.digest, size);
    } else if (blob.isNeeded) missing.push([blob.digest, blob.what]);
  }
  if (missing.length > 0) throw lacking(name, missing);
  return sizes;
}

function namerOf({ digest }: GraphBlob, manifests: ImageGraph['manifests']): string {
  for (const { descriptor, parsed } of manifests.values()) {
    const { config, layers, manifests: children } = parsed;
    if ([config, ...layers, ...children].some(named => named?.digest === digest)) return descriptor.digest;
  }
  return 'a manifest';
}

function wrongSize(
  namer: string,
  said: { readonly digest: Digest; readonly size?: number | undefined },
  real: number,
) {
  return invalid(`${namer} says that ${said.digest} has ${said.size} bytes, and it has ${real}`);
}

function lacking(name: string, missing: readonly (readonly [Digest, string])[]): RegistryError {
  const shown = missing.slice(0, shownDigests).map(([digest, what]) => `${digest} (${what})`);
  const more = missing.length - shown.length;
  const list = `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  return new RegistryError('MANIFEST_BLOB_UNKNOWN', {
    message: `${name} lacks ${list}: neither the bundle nor this store has it. A bundle made with --have needs what its list named`,
  });
}
