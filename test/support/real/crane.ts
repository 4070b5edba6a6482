/**
 * crane, built with Go where it isn't on the PATH. It has no storage: a pull gives a folder with an OCI layout, and what it adds to an image is
 * in a tar of `docker save`. It asks the mirror by the mirror's own name.
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { hexOf, parseDigest } from '../../../src/oci/digest.ts';
import {
  type ClientOptions,
  clientEnvironment,
  fullName,
  type Identity,
  type ImageReference,
  type PushingClient,
  prepareFolder,
} from './client.ts';
import { commandOutput, type Finished } from './command.ts';
import { findGoProgram } from './go-program.ts';
import type { RealImage } from './image-set.ts';
import { digestOfFile } from './layers.ts';
import { outputIn, runIn } from './place.ts';

const platform = ['--platform', 'linux/amd64'];

export class Crane implements PushingClient {
  readonly #options: ClientOptions;
  readonly #program: string;

  private constructor(options: ClientOptions, program: string) {
    this.#options = options;
    this.#program = program;
  }

  static async create(options: ClientOptions): Promise<Crane> {
    await prepareFolder(options);
    return new Crane(options, await findGoProgram('crane'));
  }

  async pull(image: RealImage, host?: string): Promise<Finished> {
    const target = this.#target(image);
    await mkdir(dirname(target), { recursive: true });
    const how = ['pull', '--insecure', '--format', 'oci', ...platform];
    const argv = [this.#program, ...how, this.#name(image, host), target];
    return await runIn(this.#options.place, argv, { env: clientEnvironment(this.#options) });
  }

  async identify(image: RealImage): Promise<Identity> {
    const folder = this.#target(image);
    const blobs = join(folder, 'blobs', 'sha256');
    const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8'));
    const digest: string = index.manifests[0].digest;
    const manifest = JSON.parse(await readFile(join(blobs, hexOf(parseDigest(digest))), 'utf8'));
    for (const named of [index.manifests[0], manifest.config, ...manifest.layers]) {
      const got = await digestOfFile(join(blobs, hexOf(named.digest)));
      if (got !== named.digest) throw new Error(`expected ${named.digest}, crane stored ${got}`);
    }
    return { imageId: manifest.config.digest, digest };
  }

  async build(base: RealImage, file: string, image: ImageReference, host: string): Promise<void> {
    const layer = join(this.#options.folder, 'layer.tar');
    await commandOutput(['tar', '-C', dirname(file), '-cf', layer, basename(file)]);
    const parts = ['--base', this.#name(base), '--new_layer', layer, '--new_tag', fullName(image, host)];
    await this.#output(
      'append',
      '--insecure',
      ...platform,
      ...parts,
      '--output',
      `${this.#target(image)}.tar`,
    );
  }

  async push(image: ImageReference, host: string, as = image): Promise<string> {
    const from = as === image ? ['push', `${this.#target(image)}.tar`] : ['copy', fullName(image, host)];
    await this.#output(...from, '--insecure', fullName(as, host));
    return (await this.#output('digest', '--insecure', fullName(as, host))).trim();
  }

  async wipe(): Promise<void> {
    await rm(join(this.#options.folder, 'images'), { recursive: true, force: true });
  }

  async close(): Promise<void> {
    await this.wipe();
  }

  /** Of another registry through the mirror, where `host` isn't the mirror itself. */
  #name(image: ImageReference, host = 'docker.io'): string {
    const mirror = new URL(this.#options.mirror).host;
    return fullName(image, host === mirror ? mirror : `${mirror}/${host}`);
  }

  #target(image: ImageReference): string {
    return join(this.#options.folder, 'images', `${image.repository.replaceAll('/', '_')}_${image.tag}`);
  }

  async #output(...args: readonly string[]): Promise<string> {
    const env = clientEnvironment(this.#options);
    return await outputIn(this.#options.place, [this.#program, ...args], { env });
  }
}
