/**
 * Builds the image set: layers from Debian packages, and configs, manifests and indexes as JSON by hand, so that both
 * families of media types, an index, a `subject` and zstd are there without a tool that would choose for us.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestOf, hexOf } from '../../../src/oci/digest.ts';
import type { ImageSet, RealManifest } from './image-set.ts';
import { fetchPackages, type PackedLayer, packLayer, writeTar } from './layers.ts';
import { appLayers, type LayerName, layerRecipes } from './recipes.ts';

const ociType = (kind: string) => `application/vnd.oci.image.${kind}`;
const dockerType = (kind: string) => `application/vnd.docker.${kind}`;
const family = {
  oci: {
    manifest: ociType('manifest.v1+json'),
    index: ociType('index.v1+json'),
    config: ociType('config.v1+json'),
    gzip: ociType('layer.v1.tar+gzip'),
    zstd: ociType('layer.v1.tar+zstd'),
  },
  docker: {
    manifest: dockerType('distribution.manifest.v2+json'),
    index: dockerType('distribution.manifest.list.v2+json'),
    config: dockerType('container.image.v1+json'),
    gzip: dockerType('image.rootfs.diff.tar.gzip'),
    zstd: dockerType('image.rootfs.diff.tar.zstd'),
  },
} as const;

export class ImageBuilder {
  readonly #folder: string;
  readonly #blobs: string;
  readonly #packages: string;
  readonly #layers = new Map<string, PackedLayer>();

  constructor(folder: string, packages: string) {
    this.#folder = folder;
    this.#blobs = join(folder, 'blobs');
    this.#packages = packages;
  }

  async build(): Promise<ImageSet['images']> {
    await mkdir(this.#blobs);
    const names = Object.values(layerRecipes).flatMap(recipe => [...recipe.packages]);
    const debs = await fetchPackages([...new Set(names)], this.#packages);
    const queue = Object.keys(layerRecipes).filter((name): name is LayerName => name in layerRecipes);
    const worker = async () => {
      for (let name = queue.pop(); name !== undefined; name = queue.pop()) await this.#layer(name, debs);
    };
    await Promise.all([worker(), worker()]); // the last of the list is by far the largest, and goes first

    const tiny = await this.#image('oci', ['busybox'], 'amd64');
    const arm = await this.#image('oci', ['data'], 'arm64');
    const dockerTiny = await this.#image('docker', ['busybox', 'ca'], 'amd64');
    const dockerArm = await this.#image('docker', ['data', 'files'], 'arm64');
    const multi = [await this.#image('oci', ['busybox', 'data'], 'amd64'), arm];
    const nested = await this.#image('oci', ['busybox', 'files'], 'amd64');
    return {
      tiny: { repository: 'library/busybox', tag: '1.36', top: tiny, children: [] },
      app: {
        repository: 'library/app',
        tag: '1.0',
        top: await this.#image('oci', appLayers, 'amd64'),
        children: [],
      },
      index: {
        repository: 'library/multi',
        tag: 'latest',
        top: await this.#index('oci', multi),
        children: multi,
      },
      list: {
        repository: 'library/list',
        tag: 'latest',
        top: await this.#index('docker', [dockerTiny, dockerArm]),
        children: [dockerTiny, dockerArm],
      },
      zstd: {
        repository: 'library/zstd',
        tag: '1.0',
        top: await this.#image('oci', ['base', 'python', 'git'], 'amd64', 'zstd'),
        children: [],
      },
      signature: {
        repository: 'library/busybox',
        tag: 'signature',
        top: await this.#artifact(tiny),
        children: [],
      },
      nested: { repository: 'team/deep/nested/tool', tag: 'v1', top: nested, children: [] },
    };
  }

  async #layer(name: LayerName, debs: ReadonlyMap<string, string>): Promise<void> {
    const tar = join(this.#folder, `${name}.tar`);
    const diffId = await writeTar(layerRecipes[name], debs, tar, join(this.#folder, `${name}.files`));
    this.#layers.set(`${name} gzip`, await packLayer(tar, diffId, 'gzip', this.#blobs));
    if (name !== 'fonts') this.#layers.set(`${name} zstd`, await packLayer(tar, diffId, 'zstd', this.#blobs));
    await rm(tar);
  }

  async #image(
    types: keyof typeof family,
    names: readonly LayerName[],
    architecture: string,
    compression: 'gzip' | 'zstd' = 'gzip',
  ): Promise<RealManifest> {
    const layers = names.map(name => {
      const layer = this.#layers.get(`${name} ${compression}`);
      if (layer === undefined) throw new Error(`expected a ${compression} layer ${name}`);
      return layer;
    });
    const created = '1970-01-01T00:00:00Z';
    const config = await this.#put({
      created,
      architecture,
      os: 'linux',
      config: { Cmd: ['/bin/sh'], Env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'] },
      rootfs: { type: 'layers', diff_ids: layers.map(layer => layer.diffId) },
      history: names.map(name => ({ created, created_by: `debian packages: ${name}` })),
    });
    const mediaType = family[types].manifest;
    const manifest = await this.#put({
      schemaVersion: 2,
      mediaType,
      config: { mediaType: family[types].config, ...config },
      layers: layers.map(({ digest, size }) => ({ mediaType: family[types][compression], digest, size })),
    });
    return {
      ...manifest,
      mediaType,
      blobs: [config.digest, ...layers.map(layer => layer.digest)],
      architecture,
    };
  }

  async #index(types: keyof typeof family, children: readonly RealManifest[]): Promise<RealManifest> {
    const mediaType = family[types].index;
    const manifests = children.map(({ digest, size, mediaType: childType, architecture }) => ({
      mediaType: childType,
      digest,
      size,
      platform: { os: 'linux', architecture },
    }));
    return { ...(await this.#put({ schemaVersion: 2, mediaType, manifests })), mediaType, blobs: [] };
  }

  async #artifact(subject: RealManifest): Promise<RealManifest> {
    const config = await this.#put({});
    const payload = await this.#put({ critical: { type: 'test signature', image: subject.digest } });
    const mediaType = family.oci.manifest;
    const manifest = await this.#put({
      schemaVersion: 2,
      mediaType,
      artifactType: 'application/vnd.example.signature.v1+json',
      config: { mediaType: 'application/vnd.oci.empty.v1+json', ...config },
      layers: [{ mediaType: 'application/vnd.example.signature.v1+json', ...payload }],
      subject: { mediaType: subject.mediaType, digest: subject.digest, size: subject.size },
    });
    return { ...manifest, mediaType, blobs: [config.digest, payload.digest] };
  }

  async #put(document: unknown): Promise<{ digest: Digest; size: number }> {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = digestOf(bytes);
    await writeFile(join(this.#blobs, hexOf(digest)), bytes);
    return { digest, size: bytes.length };
  }
}
