/**
 * skopeo copying into a folder, straight from the mirror's address (the way of plain names), or with settings by the name of
 * the registry. It takes
 * all platforms of an index, so everything that an image has goes through the mirror. What it wrote is hashed here.
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOf, hexOf } from '../../../src/oci/digest.ts';
import {
  type ClientOptions,
  clientEnvironment,
  fullName,
  type Identity,
  type ImageReference,
  type PushingClient,
  prepareFolder,
  withOwnBlobCache,
  withSettings,
} from './client.ts';
import type { Finished } from './command.ts';
import { addLayer } from './dir-image.ts';
import { imageId, manifestFor, type RealImage } from './image-set.ts';
import { digestOfFile } from './layers.ts';
import { outputIn, runIn } from './place.ts';

export class Skopeo implements PushingClient {
  readonly #options: ClientOptions;

  private constructor(options: ClientOptions) {
    this.#options = options;
  }

  static async create(options: ClientOptions): Promise<Skopeo> {
    await prepareFolder(options);
    return new Skopeo(options);
  }

  async pull(image: RealImage, host?: string): Promise<Finished> {
    const { place, mirror, settings } = this.#options;
    const straight = settings === undefined;
    const source = `docker://${fullName(image, straight ? new URL(mirror).host : host)}`;
    const trust = straight ? ['--src-tls-verify=false'] : [];
    const flags = ['--insecure-policy', 'copy', '--all', '--preserve-digests', ...trust];
    await mkdir(join(this.#options.folder, 'images'), { recursive: true });
    const copy = ['skopeo', ...flags, source, `dir:${this.#target(image)}`];
    const argv = withSettings(settings, '/etc/containers/registries.conf.d', copy);
    return await runIn(place, withOwnBlobCache(this.#options.folder, argv), {
      env: clientEnvironment(this.#options),
    });
  }

  async identify(image: RealImage): Promise<Identity> {
    const folder = this.#target(image);
    for (const manifest of [image.top, ...image.children]) {
      const name = manifest === image.top ? 'manifest.json' : `${hexOf(manifest.digest)}.manifest.json`;
      const got = await digestOfFile(join(folder, name));
      if (got !== manifest.digest) throw new Error(`expected ${manifest.digest} in ${name}, got ${got}`);
      for (const digest of manifest.blobs) {
        const blob = await digestOfFile(join(folder, hexOf(digest)));
        if (blob !== digest) throw new Error(`expected ${digest}, skopeo stored ${blob}`);
      }
    }
    const isTop = image.children.length === 0;
    const child = isTop ? 'manifest.json' : `${hexOf(manifestFor(image).digest)}.manifest.json`;
    const holds = (await readFile(join(folder, child), 'utf8')).includes(imageId(image));
    return {
      imageId: holds ? imageId(image) : '',
      digest: digestOf(await readFile(join(folder, 'manifest.json'))),
    };
  }

  /** skopeo builds nothing: the layer is added to the files that it stored. */
  async build(base: RealImage, file: string, image: ImageReference): Promise<void> {
    const target = this.#target(image);
    await mkdir(target);
    await addLayer(base, this.#target(base), target, file);
  }

  async push(image: ImageReference, host: string, as = image): Promise<string> {
    const { place, folder } = this.#options;
    const digest = join(folder, 'pushed');
    const how = ['--insecure-policy', 'copy', '--digestfile', digest, '--dest-tls-verify=false'];
    const copy = ['skopeo', ...how, `dir:${this.#target(image)}`, `docker://${fullName(as, host)}`];
    await outputIn(place, withOwnBlobCache(folder, copy), { env: clientEnvironment(this.#options) });
    return await readFile(digest, 'utf8');
  }

  async wipe(): Promise<void> {
    await rm(join(this.#options.folder, 'images'), { recursive: true, force: true });
  }

  async close(): Promise<void> {
    await this.wipe();
  }

  #target(image: ImageReference): string {
    return join(this.#options.folder, 'images', `${image.repository.replaceAll('/', '_')}_${image.tag}`);
  }
}
