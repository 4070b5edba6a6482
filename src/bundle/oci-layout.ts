/**
 * An image in an OCI image layout (OCI image-spec "Image Layout"), as a folder or as an archive, of buildah, buildx, crane,
 * podman, regctl, skopeo, and of `docker save` from version 25 on.
 */
import { algorithmOf, type Digest, digestOf, hexOf, isDigest } from '../oci/digest.ts';
import { isBlobChild } from '../oci/image-needs.ts';
import { type Descriptor, parseDescriptor, parseManifest } from '../oci/manifest.ts';
import { walkManifests } from '../oci/manifest-walk.ts';
import { isDistributable } from '../oci/media-type.ts';
import { type FileTree, readJson, readSmall } from './file-tree.ts';
import { type ImageSource, SourceError, type SourceManifest } from './image-source.ts';

/** Where tools write an image's name: its tag or its full name. */
const nameAnnotations = ['org.opencontainers.image.ref.name', 'io.containerd.image.name'] as const;
const indexName = 'index.json';
const shownNames = 10;

interface Entry {
  readonly descriptor: Descriptor;
  readonly names: readonly string[];
}

export function isOciLayout(tree: FileTree): Promise<boolean> {
  return tree.sizeOf('oci-layout').then(size => size !== undefined);
}

/**
 * `select`: the name or the digest of one image, where there are several. Errors: SOURCE_INVALID, SOURCE_AMBIGUOUS; those of
 * the file system.
 */
export async function readOciLayout(tree: FileTree, select: string | undefined): Promise<ImageSource> {
  const root = await chooseRoot(tree, select);
  const manifests: SourceManifest[] = [];
  const blobs = new Map<Digest, Descriptor>();
  const missing: Digest[] = [];
  const need = async (blob: Omit<Descriptor, 'size'> & { readonly size?: number }, mayMiss: boolean) => {
    const size = await tree.sizeOf(pathOf(blob.digest));
    if (size === undefined && mayMiss) return;
    if (size === undefined || (blob.size !== undefined && size !== blob.size)) missing.push(blob.digest);
    else blobs.set(blob.digest, { ...blob, size });
  };
  const read = async ({ digest, mediaType }: { readonly digest: Digest; readonly mediaType: string }) => {
    const bytes = await readManifest(tree, digest);
    return bytes && { bytes, parsed: parseManifest(bytes, mediaType) };
  };
  for await (const { named, found } of walkManifests([root], read)) {
    if (found === undefined) {
      missing.push(named.digest);
      continue;
    }
    const { bytes, parsed } = found;
    manifests.unshift({
      descriptor: { mediaType: parsed.mediaType, digest: named.digest, size: bytes.length },
      bytes,
    });
    if (parsed.config !== undefined) await need(parsed.config, false);
    for (const layer of parsed.layers) await need(layer, !isDistributable(layer.mediaType));
    for (const child of parsed.manifests) if (isBlobChild(child)) await need(child, false);
  }
  if (missing.length > 0) throw incomplete(missing, manifests);
  return {
    kind: 'OCI layout',
    manifests,
    blobs: [...blobs.values()],
    read: (digest, at) => tree.read(pathOf(digest), at),
    close: () => Promise.resolve(),
  };
}

async function chooseRoot(tree: FileTree, select: string | undefined): Promise<Descriptor> {
  const index = await readJson(tree, indexName);
  const listed = isObject(index) ? index['manifests'] : undefined;
  if (!Array.isArray(listed)) throw new SourceError('SOURCE_INVALID', `${indexName} lists no manifests`);
  const entries = listed.flatMap(parseEntry);
  const isMeant = ({ descriptor, names }: Entry): boolean =>
    select === undefined || descriptor.digest === select || names.includes(select);
  const meant = entries.filter(isMeant);
  const [first] = meant;
  const digests = new Set(meant.map(({ descriptor }) => descriptor.digest));
  if (first !== undefined && digests.size === 1) return first.descriptor;
  if (select !== undefined && isDigest(select)) {
    const size = await tree.sizeOf(pathOf(select)); // a child of an index that is listed
    if (size !== undefined) return { mediaType: '', digest: select, size };
  }
  if (first === undefined && select === undefined)
    throw new SourceError('SOURCE_INVALID', `${indexName} lists no image`);
  const known = entries.map(({ descriptor, names }) => names[0] ?? descriptor.digest);
  const list = known.slice(0, shownNames).join(', ') + (known.length > shownNames ? ', …' : '');
  const message =
    first === undefined
      ? `there is no image ${JSON.stringify(select)} in it, but: ${list}`
      : `there are several images in it: name one with --select (${list})`;
  throw new SourceError('SOURCE_AMBIGUOUS', message);
}

function parseEntry(value: unknown): Entry[] {
  const descriptor = parseDescriptor(value);
  if (descriptor === undefined || !isObject(value)) return [];
  const annotations = isObject(value['annotations']) ? value['annotations'] : {};
  const names = nameAnnotations.map(key => annotations[key]).filter(name => typeof name === 'string');
  return [{ descriptor, names }];
}

/** Undefined: it isn't there. Errors: SOURCE_INVALID for bytes of another digest. */
async function readManifest(tree: FileTree, digest: Digest): Promise<Buffer | undefined> {
  const bytes = await readSmall(tree, pathOf(digest));
  if (bytes === undefined || digestOf(bytes, algorithmOf(digest)) === digest) return bytes;
  throw new SourceError('SOURCE_INVALID', `${pathOf(digest)} is damaged: it has another digest`);
}

function incomplete(missing: readonly Digest[], manifests: readonly SourceManifest[]): SourceError {
  const [some] = manifests;
  const hint =
    some === undefined || manifests.length < 2
      ? ''
      : `; one image of an index can be pushed alone with --select, such as ${some.descriptor.digest}`;
  const list = missing.slice(0, shownNames).join(', ');
  return new SourceError(
    'SOURCE_INVALID',
    `it is not complete: ${list} ${missing.length === 1 ? 'is' : 'are'} missing or cut off${hint}`,
  );
}

function pathOf(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${hexOf(digest)}`;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
