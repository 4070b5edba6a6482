/**
 * Small deterministic images from symbolic names: `buildImage({ layers: ['layer a', 'layer b'] })` always has the same
 * bytes and digests. A layer is about 2 KB of pattern bytes unless a content is handed in; nothing of it is a real
 * tar archive. Media types are written out here, on purpose not taken from the product.
 */

import { type Digest, digestOf } from '../../src/oci/digest.ts';
import type { Descriptor } from '../../src/oci/manifest.ts';
import { type BlobContent, bytesBlob, patternBlob } from './content.ts';

const types = {
  oci: {
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    index: 'application/vnd.oci.image.index.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  },
  docker: {
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  },
} as const;

const symbolicLayerBytes = 2048;

export interface BuiltBlob {
  readonly descriptor: Descriptor;
  readonly content: BlobContent;
}

export interface BuiltManifest {
  readonly descriptor: Descriptor;
  readonly bytes: Buffer;
}

export interface BuiltImage extends BuiltManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Of an image; an index has none of its own. */
  readonly config: BuiltBlob | undefined;
  readonly layers: readonly BuiltBlob[];
  /** The images of an index. */
  readonly children: readonly BuiltImage[];
  /** All there is to put: config and layers, also of the children. */
  readonly blobs: readonly BuiltBlob[];
  /** Children first, itself last. */
  readonly manifests: readonly BuiltManifest[];
}

export interface Platform {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
}

export interface ImageOptions {
  /** Names, or contents of any size. Default `['layer a', 'layer b']`. */
  readonly layers?: readonly (string | BlobContent)[];
  readonly type?: 'oci' | 'docker';
  readonly platform?: Platform;
  /** Instead of a config that names the platform. */
  readonly config?: BlobContent;
  readonly layerMediaType?: string;
  readonly subject?: BuiltImage;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Further fields of the manifest, kept as given. */
  readonly extra?: Readonly<Record<string, unknown>>;
}

export function buildImage(options: ImageOptions = {}): BuiltImage {
  const mediaTypes = types[options.type ?? 'oci'];
  const platform = options.platform ?? { architecture: 'amd64', os: 'linux' };
  const layers = (options.layers ?? ['layer a', 'layer b']).map(layer =>
    buildBlob(contentOf(layer), options.layerMediaType ?? mediaTypes.layer),
  );
  const configText = JSON.stringify({
    ...platform,
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map(layer => layer.descriptor.digest) },
  });
  const config = buildBlob(options.config ?? bytesBlob(configText), mediaTypes.config);
  return finish(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.manifest,
      config: config.descriptor,
      layers: layers.map(layer => layer.descriptor),
      ...subjectOf(options),
      ...options.extra,
    },
    mediaTypes.manifest,
    { config, layers, children: [] },
  );
}

export interface IndexOptions {
  /** Default: one image for amd64 and one for arm64, which share `layer shared`. */
  readonly children?: readonly {
    readonly image: BuiltImage;
    readonly platform?: Platform;
    readonly annotations?: Readonly<Record<string, string>>;
  }[];
  readonly type?: 'oci' | 'docker';
  readonly subject?: BuiltImage;
  readonly annotations?: Readonly<Record<string, string>>;
}

export function buildIndex(options: IndexOptions = {}): BuiltImage {
  const mediaTypes = types[options.type ?? 'oci'];
  const children =
    options.children ?? ['amd64', 'arm64'].map(architecture => childFor(architecture, options.type ?? 'oci'));
  return finish(
    {
      schemaVersion: 2,
      mediaType: mediaTypes.index,
      manifests: children.map(
        ({ image, platform, annotations }: NonNullable<typeof options.children>[number]) => ({
          ...image.descriptor,
          ...(platform && { platform }),
          ...(annotations && { annotations }),
        }),
      ),
      ...subjectOf(options),
    },
    mediaTypes.index,
    { config: undefined, layers: [], children: children.map(child => child.image) },
  );
}

export interface ArtifactOptions {
  readonly artifactType?: string;
  readonly subject?: BuiltImage;
  readonly blobs?: readonly (string | BlobContent)[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An artifact such as a signature or an SBOM, with the empty config (OCI image-spec, "Guidelines for Artifact Usage"). */
export function buildArtifact(options: ArtifactOptions = {}): BuiltImage {
  const config = buildBlob(bytesBlob('{}'), 'application/vnd.oci.empty.v1+json');
  const layers = (options.blobs ?? ['artifact a']).map(blob =>
    buildBlob(contentOf(blob), 'application/octet-stream'),
  );
  return finish(
    {
      schemaVersion: 2,
      mediaType: types.oci.manifest,
      artifactType: options.artifactType ?? 'application/vnd.example.sbom',
      config: config.descriptor,
      layers: layers.map(layer => layer.descriptor),
      ...subjectOf(options),
    },
    types.oci.manifest,
    { config, layers, children: [] },
  );
}

function childFor(architecture: string, type: 'oci' | 'docker') {
  const platform = { architecture, os: 'linux' };
  return {
    image: buildImage({ layers: ['layer shared', `layer ${architecture}`], type, platform }),
    platform,
  };
}

function contentOf(layer: string | BlobContent): BlobContent {
  return typeof layer === 'string' ? patternBlob(layer, symbolicLayerBytes) : layer;
}

function buildBlob(content: BlobContent, mediaType: string): BuiltBlob {
  return { descriptor: { mediaType, digest: content.digest, size: content.size }, content };
}

function subjectOf({
  subject,
  annotations,
}: {
  subject?: BuiltImage;
  annotations?: Readonly<Record<string, string>>;
}) {
  return { ...(subject && { subject: subject.descriptor }), ...(annotations && { annotations }) };
}

function finish(
  manifest: object,
  mediaType: string,
  parts: Pick<BuiltImage, 'config' | 'layers' | 'children'>,
): BuiltImage {
  const bytes = Buffer.from(JSON.stringify(manifest, undefined, 2));
  const digest = digestOf(bytes);
  const descriptor = { mediaType, digest, size: bytes.length };
  const own = parts.config === undefined ? parts.layers : [parts.config, ...parts.layers];
  return {
    ...parts,
    descriptor,
    digest,
    mediaType,
    bytes,
    blobs: [...parts.children.flatMap(child => child.blobs), ...own],
    manifests: [...parts.children.flatMap(child => child.manifests), { descriptor, bytes }],
  };
}
