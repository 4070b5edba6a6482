/**
 * A Docker daemon of its own with the mirror in `registry-mirrors`, or in the daemon.json of its settings; no bridge, no
 * firewall rules, own socket.
 */
import { join } from 'node:path';
import type { SpawnedProcess } from '../process.ts';
import {
  type ClientOptions,
  canOverlay,
  clientEnvironment,
  fullName,
  type Identity,
  type ImageReference,
  type PushingClient,
  prepareFolder,
  writeBuildContext,
} from './client.ts';
import type { Finished } from './command.ts';
import { endDaemon, startDaemon } from './daemon.ts';
import type { RealImage } from './image-set.ts';
import { outputIn, type Place, runIn } from './place.ts';

export class Dockerd implements PushingClient {
  readonly #place: Place;
  readonly #folder: string;
  readonly #daemon: SpawnedProcess;
  readonly #command: readonly string[];
  readonly #env: Readonly<Record<string, string | undefined>>;

  private constructor(options: ClientOptions, daemon: SpawnedProcess, command: readonly string[]) {
    this.#place = options.place;
    this.#folder = options.folder;
    this.#daemon = daemon;
    this.#command = command;
    this.#env = clientEnvironment(options);
  }

  static async start(options: ClientOptions): Promise<Dockerd> {
    await prepareFolder(options);
    const { folder, place, settings } = options;
    const socket = `unix://${join(folder, 'd.sock')}`;
    const folders = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')];
    const own = [
      '--host',
      socket,
      '--pidfile',
      join(folder, 'd.pid'),
      '--config-file',
      settings === undefined ? join(folder, 'config.json') : join(settings, 'etc/docker/daemon.json'),
    ];
    const mirror = settings === undefined ? ['--registry-mirror', options.mirror] : [];
    const network = ['--bridge=none', '--iptables=false', '--ip6tables=false'];
    const driver = ['--storage-driver', (await canOverlay(place, folder)) ? 'overlay2' : 'vfs'];
    const env = { ...clientEnvironment(options), DOCKER_TMPDIR: undefined };
    const command = ['docker', '--host', socket];
    const daemon = await startDaemon({
      place,
      argv: ['dockerd', ...folders, ...own, ...network, ...driver, ...mirror],
      env,
      ready: async () => (await runIn(place, [...command, 'version'], { env })).code === 0,
    });
    return new Dockerd(options, daemon, command);
  }

  async pull(image: RealImage, host?: string): Promise<Finished> {
    return await runIn(this.#place, [...this.#command, 'pull', fullName(image, host)], { env: this.#env });
  }

  async identify(image: RealImage, host?: string): Promise<Identity> {
    const format = '{{.Id}} {{index .RepoDigests 0}}';
    const text = await this.#output('image', 'inspect', '--format', format, fullName(image, host));
    const [imageId = '', name = ''] = text.trim().split(' ');
    return { imageId, digest: name.replace(/^.*@/, '') };
  }

  async build(base: RealImage, file: string, image: ImageReference, host: string): Promise<void> {
    const context = await writeBuildContext(this.#folder, fullName(base), file);
    await this.#output('build', '--tag', fullName(image, host), context);
  }

  async push(image: ImageReference, host: string, as = image): Promise<string> {
    const name = fullName(as, host);
    if (as !== image) await this.#output('tag', fullName(image, host), name);
    const text = await this.#output('push', name);
    return /^\S+: digest: (\S+) size: \d+$/m.exec(text)?.[1] ?? '';
  }

  /** Any docker command; how it ended. */
  async run(...args: readonly string[]): Promise<Finished> {
    return await runIn(this.#place, [...this.#command, ...args], { env: this.#env });
  }

  /** `docker load` of a file. */
  async load(file: string): Promise<Finished> {
    return await runIn(this.#place, [...this.#command, 'load', '--input', file], { env: this.#env });
  }

  /** Of an image that was loaded: it has no digest. */
  async imageIdOf(image: RealImage): Promise<string> {
    return (await this.#output('image', 'inspect', '--format', '{{.Id}}', fullName(image))).trim();
  }

  async wipe(): Promise<void> {
    await this.#output('image', 'prune', '--all', '--force');
    const left = await this.#output('image', 'ls', '--all', '--quiet');
    if (left !== '') throw new Error(`expected no images in dockerd, got ${left}`);
  }

  async close(): Promise<void> {
    await endDaemon(this.#daemon);
  }

  async #output(...args: readonly string[]): Promise<string> {
    return await outputIn(this.#place, [...this.#command, ...args], { env: this.#env });
  }
}
