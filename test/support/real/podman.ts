/**
 * podman with a storage of its own and the mirror in registries.conf, in the form that names the upstream in the path; or
 * in a drop-in of its settings.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type ClientOptions,
  canOverlay,
  clientEnvironment,
  fullName,
  type Identity,
  prepareFolder,
  type RealClient,
  withOwnBlobCache,
  withSettings,
} from './client.ts';
import type { Finished } from './command.ts';
import type { RealImage } from './image-set.ts';
import { outputIn, type Place, runIn } from './place.ts';

export class Podman implements RealClient {
  readonly #place: Place;
  readonly #folder: string;
  readonly #command: readonly string[];
  readonly #env: Readonly<Record<string, string | undefined>>;

  private constructor(options: ClientOptions, command: readonly string[], registries: string) {
    this.#place = options.place;
    this.#folder = options.folder;
    this.#command = command;
    const conf = options.settings === undefined ? registries : undefined;
    this.#env = { ...clientEnvironment(options), CONTAINERS_REGISTRIES_CONF: conf };
  }

  static async create(options: ClientOptions): Promise<Podman> {
    await prepareFolder(options);
    const { folder, place, mirror, settings } = options;
    const registries = join(folder, 'registries.conf');
    await writeFile(
      registries,
      `[[registry]]
location = "docker.io"
[[registry.mirror]]
location = "${new URL(mirror).host}/docker.io"
insecure = true
`,
    );
    await writeFile(join(folder, 'policy.json'), '{"default":[{"type":"insecureAcceptAnything"}]}');
    await mkdir(join(folder, 'root'), { recursive: true });
    const folders = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run')];
    const driver = ['--storage-driver', (await canOverlay(place, folder)) ? 'overlay' : 'vfs'];
    const command = withSettings(settings, '/etc/containers/registries.conf.d', [
      'podman',
      ...folders,
      ...driver,
      '--events-backend',
      'none',
    ]);
    return new Podman(options, withOwnBlobCache(folder, command), registries);
  }

  async pull(image: RealImage, host?: string): Promise<Finished> {
    const policy = ['--signature-policy', join(this.#folder, 'policy.json')];
    const argv = [...this.#command, 'pull', ...policy, fullName(image, host)];
    return await runIn(this.#place, argv, { env: this.#env });
  }

  async identify(image: RealImage, host?: string): Promise<Identity> {
    const format = '{{.Id}} {{json .RepoDigests}}';
    const text = await this.#output('image', 'inspect', '--format', format, fullName(image, host));
    const [imageId = '', names = ''] = text.trim().split(' ');
    const digest = names.includes(`@${image.top.digest}"`) ? image.top.digest : names; // that of the child is there too
    return { imageId: `sha256:${imageId}`, digest };
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
