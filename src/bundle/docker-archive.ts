/**
 * An image in the archive of `docker save` up to version 24, and of `podman save`: `manifest.json` names a config and the tars of its
 * layers. A registry wants the layers compressed: they are packed into temporary files, as `docker push` does it, and each is
 * compared with the config before.
 */
import { Readable } from 'node:stream';
import { type Digest, digestOf } from '../oci/digest.ts';
import type { Descriptor } from '../oci/manifest.ts';
import { dockerManifest } from '../oci/media-type.ts';
import { type FileTree, readJson, readSmall } from './file-tree.ts';
import { type ImageSource, SourceError } from './image-source.ts';
import type { PackingFolder } from './packing.ts';

const listName = 'manifest.json';
const configType = 'application/vnd.docker.container.image.v1+json';
const layerType = 'application/vnd.docker.image.rootfs.diff.tar.gzip';

interface ListedImage {
  readonly config: string;
  readonly names: readonly string[];
  readonly layers: readonly string[];
}

export async function isDockerArchive(tree: FileTree): Promise<boolean> {
  return (await tree.sizeOf(listName)) !== undefined;
}

/** `select`: a name such as `busybox:1.36`, where there are several images. Errors: SOURCE_INVALID, SOURCE_AMBIGUOUS. */
export async function readDockerArchive(
  tree: FileTree,
  select: string | undefined,
  packing: PackingFolder,
): Promise<ImageSource> {
  const image = await chooseImage(tree, select);
  const config = await readSmall(tree, image.config);
  if (config === undefined)
    throw new SourceError('SOURCE_INVALID', `it has no ${image.config}, which ${listName} names`);
  const diffIds = diffIdsOf(config, image);
  const layers: Descriptor[] = [];
  for (const [index, name] of image.layers.entries()) {
    if ((await tree.sizeOf(name)) === undefined)
      throw new SourceError('SOURCE_INVALID', `it has no ${name}, which ${listName} names`);
    const { digest, size, diffId } = await packing.pack(Readable.from(tree.read(name, 0)));
    if (diffId !== diffIds[index])
      throw new SourceError(
        'SOURCE_INVALID',
        `${name} is damaged: the image's config names ${diffIds[index]}`,
      );
    layers.push({ mediaType: layerType, digest, size });
  }
  const configBlob = { mediaType: configType, digest: digestOf(config), size: config.length };
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: dockerManifest, config: configBlob, layers }),
  );
  return {
    kind: 'docker archive',
    manifests: [
      { descriptor: { mediaType: dockerManifest, digest: digestOf(bytes), size: bytes.length }, bytes },
    ],
    blobs: distinct([configBlob, ...layers]),
    read: (digest, at) => packing.read(digest, at) ?? Readable.from([config.subarray(at)]),
    close: () => packing.remove(),
  };
}

async function chooseImage(tree: FileTree, select: string | undefined): Promise<ListedImage> {
  const list = await readJson(tree, listName);
  const images = Array.isArray(list) ? list.flatMap(parseListed) : [];
  if (images.length === 0) throw new SourceError('SOURCE_INVALID', `${listName} lists no image`);
  const meant =
    select === undefined ? images : images.filter(({ names }) => names.some(name => isNamed(name, select)));
  const [first] = meant;
  if (first !== undefined && meant.length === 1) return first;
  const names = images.map(image => image.names[0] ?? image.config).join(', ');
  throw new SourceError(
    'SOURCE_AMBIGUOUS',
    first === undefined
      ? `there is no image ${JSON.stringify(select)} in it, but: ${names}`
      : `there are several images in it: name one with --select (${names})`,
  );
}

function isNamed(name: string, select: string): boolean {
  return name === select || name === `${select}:latest` || name.endsWith(`/${select}`);
}

function parseListed(value: unknown): ListedImage[] {
  if (typeof value !== 'object' || value === null) return [];
  const { Config: config, RepoTags: names, Layers: layers } = value as Readonly<Record<string, unknown>>;
  if (typeof config !== 'string' || !isTexts(layers)) return [];
  return [{ config, layers, names: isTexts(names) ? names : [] }];
}

/** Errors: SOURCE_INVALID when config and list don't fit. */
function diffIdsOf(config: Buffer, { layers, config: name }: ListedImage): readonly Digest[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(config.toString('utf8'));
  } catch {
    throw new SourceError('SOURCE_INVALID', `${name} is not JSON`);
  }
  const rootfs = Reflect.get(Object(parsed), 'rootfs');
  const diffIds: unknown = Reflect.get(Object(rootfs), 'diff_ids') ?? [];
  if (!isTexts(diffIds) || diffIds.length !== layers.length)
    throw new SourceError('SOURCE_INVALID', `${name} and ${listName} disagree about the layers`);
  return diffIds as readonly Digest[];
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every(entry => typeof entry === 'string');
}

function distinct(blobs: readonly Descriptor[]): readonly Descriptor[] {
  return [...new Map(blobs.map(blob => [blob.digest, blob])).values()];
}
