/** buildah with a storage of its own, and the mirror in registries.conf as podman has it. It builds by its own commands, without a Dockerfile. */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ClientOptions,
  clientEnvironment,
  fullName,
  type Identity,
  type ImageReference,
  type PushingClient,
  withOwnBlobCache,
} from './client.ts';
import type { Finished } from './command.ts';
import { type ContainersStorage, prepareStorage } from './containers-storage.ts';
import type { RealImage } from './image-set.ts';
import { outputIn, type Place, runIn } from './place.ts';

export class Buildah implements PushingClient {
  readonly #place: Place;
  readonly #folder: string;
  readonly #command: readonly string[];
  readonly #policy: readonly string[];
  readonly #env: Readonly<Record<string, string | undefined>>;

  private constructor(options: ClientOptions, storage: ContainersStorage) {
    this.#place = options.place;
    this.#folder = options.folder;
    this.#command = withOwnBlobCache(options.folder, ['buildah', ...storage.flags]);
    this.#policy = ['--signature-policy', storage.policy];
    this.#env = { ...clientEnvironment(options), CONTAINERS_REGISTRIES_CONF: storage.registries };
  }

  static async create(options: ClientOptions): Promise<Buildah> {
    return new Buildah(options, await prepareStorage(options));
  }

  async pull(image: RealImage, host?: string): Promise<Finished> {
    const argv = [...this.#command, 'pull', ...this.#policy, fullName(image, host)];
    return await runIn(this.#place, argv, { env: this.#env });
  }

  async identify(image: RealImage, host?: string): Promise<Identity> {
    const format = '{{.FromImageID}} {{.FromImageDigest}}';
    const text = await this.#output('inspect', '--type', 'image', '--format', format, fullName(image, host));
    const [imageId = '', digest = ''] = text.trim().split(' ');
    return { imageId: `sha256:${imageId}`, digest };
  }

  async build(base: RealImage, file: string, image: ImageReference, host: string): Promise<void> {
    const from = await this.#output('from', ...this.#policy, '--pull-never', fullName(base));
    const container = from.trim();
    await this.#output('add', container, file, '/');
    await this.#output('commit', ...this.#policy, '--rm', container, fullName(image, host));
  }

  async push(image: ImageReference, host: string, as = image): Promise<string> {
    const digest = join(this.#folder, 'pushed');
    const how = [...this.#policy, '--digestfile', digest];
    await this.#output('push', ...how, fullName(image, host), `docker://${fullName(as, host)}`);
    return await readFile(digest, 'utf8');
  }

  async wipe(): Promise<void> {
    await this.#output('rmi', '--all', '--force');
    const left = await this.#output('images', '--all', '--quiet');
    if (left !== '') throw new Error(`expected no images in buildah, got ${left}`);
  }

  /** There is no daemon, and a command's mounts go with it. */
  async close(): Promise<void> {
    await rm(join(this.#folder, 'root'), { recursive: true, force: true });
  }

  async #output(...args: readonly string[]): Promise<string> {
    return await outputIn(this.#place, [...this.#command, ...args], { env: this.#env });
  }
}
