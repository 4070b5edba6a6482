/**
 * podman with a storage of its own and the mirror in registries.conf, in the form that names the upstream in the path; or
 * in a drop-in of its settings.
 */
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
  withSettings,
  writeBuildContext,
} from './client.ts';
import type { Finished } from './command.ts';
import { type ContainersStorage, prepareStorage } from './containers-storage.ts';
import type { RealImage } from './image-set.ts';
import { outputIn, type Place, runIn } from './place.ts';

export class Podman implements PushingClient {
  readonly #place: Place;
  readonly #folder: string;
  readonly #command: readonly string[];
  readonly #policy: readonly string[];
  readonly #env: Readonly<Record<string, string | undefined>>;

  private constructor(options: ClientOptions, command: readonly string[], storage: ContainersStorage) {
    this.#place = options.place;
    this.#folder = options.folder;
    this.#command = command;
    this.#policy = ['--signature-policy', storage.policy];
    const conf = options.settings === undefined ? storage.registries : undefined;
    this.#env = { ...clientEnvironment(options), CONTAINERS_REGISTRIES_CONF: conf };
  }

  static async create(options: ClientOptions): Promise<Podman> {
    const storage = await prepareStorage(options);
    const podman = ['podman', ...storage.flags, '--events-backend', 'none'];
    const command = withSettings(options.settings, '/etc/containers/registries.conf.d', podman);
    return new Podman(options, withOwnBlobCache(options.folder, command), storage);
  }

  async pull(image: RealImage, host?: string): Promise<Finished> {
    const argv = [...this.#command, 'pull', ...this.#policy, fullName(image, host)];
    return await runIn(this.#place, argv, { env: this.#env });
  }

  async identify(image: RealImage, host?: string): Promise<Identity> {
    const format = '{{.Id}} {{json .RepoDigests}}';
    const text = await this.#output('image', 'inspect', '--format', format, fullName(image, host));
    const [imageId = '', names = ''] = text.trim().split(' ');
    const digest = names.includes(`@${image.top.digest}"`) ? image.top.digest : names; // that of the child is there too
    return { imageId: `sha256:${imageId}`, digest };
  }

  async build(base: RealImage, file: string, image: ImageReference, host: string): Promise<void> {
    const context = await writeBuildContext(this.#folder, fullName(base), file);
    const how = [...this.#policy, '--isolation', 'chroot', '--pull=never', '--tag', fullName(image, host)];
    await this.#output('build', ...how, context);
  }

  async push(image: ImageReference, host: string, as = image): Promise<string> {
    const digest = join(this.#folder, 'pushed');
    const how = [...this.#policy, '--digestfile', digest];
    await this.#output('push', ...how, fullName(image, host), fullName(as, host));
    return await readFile(digest, 'utf8');
  }

  /** `podman load` of a file. */
  async load(file: string): Promise<Finished> {
    const policy = ['--signature-policy', join(this.#folder, 'policy.json')];
    return await runIn(this.#place, [...this.#command, 'load', ...policy, '--input', file], {
      env: this.#env,
    });
  }

  async save(image: RealImage, file: string): Promise<void> {
    await this.#output('save', '--quiet', '--format', 'oci-archive', '--output', file, fullName(image));
  }

  async imageIdOf(image: RealImage): Promise<string> {
    return `sha256:${(await this.#output('image', 'inspect', '--format', '{{.Id}}', fullName(image))).trim()}`;
  }

  async wipe(): Promise<void> {
    await this.#output('image', 'rm', '--all', '--force');
    const left = await this.#output('images', '--all', '--quiet');
    if (left !== '') throw new Error(`expected no images in podman, got ${left}`);
  }

  /** There is no daemon, and a command's mounts go with it. */
  async close(): Promise<void> {
    await rm(join(this.#folder, 'root'), { recursive: true, force: true });
  }

  async #output(...args: readonly string[]): Promise<string> {
    return await outputIn(this.#place, [...this.#command, ...args], { env: this.#env });
  }
}
