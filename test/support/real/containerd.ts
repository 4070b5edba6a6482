/**
 * A containerd of its own with the mirror in hosts.toml, either for docker.io or as `_default` for every registry (then
 * the mirror learns from `ns` whose image is meant). Pulls by `ctr`, which reads the same hosts folder as the CRI does.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { SpawnedProcess } from '../process.ts';
import {
  type ClientOptions,
  canOverlay,
  clientEnvironment,
  fullName,
  type Identity,
  prepareFolder,
  type RealClient,
} from './client.ts';
import type { Finished } from './command.ts';
import { endDaemon, startDaemon } from './daemon.ts';
import { imageId, manifestFor, type RealImage } from './image-set.ts';
import { outputIn, type Place, runIn } from './place.ts';

export interface ContainerdOptions extends ClientOptions {
  readonly hosts: 'docker.io' | '_default';
}

export class Containerd implements RealClient {
  readonly #place: Place;
  readonly #daemon: SpawnedProcess;
  readonly #command: readonly string[];
  readonly #pullOptions: readonly string[];
  readonly #env: Readonly<Record<string, string | undefined>>;

  private constructor(
    options: ContainerdOptions,
    daemon: SpawnedProcess,
    command: readonly string[],
    pullOptions: readonly string[],
  ) {
    this.#place = options.place;
    this.#daemon = daemon;
    this.#command = command;
    this.#pullOptions = pullOptions;
    this.#env = clientEnvironment(options);
  }

  static async start(options: ContainerdOptions): Promise<Containerd> {
    await prepareFolder(options);
    const { folder, place } = options;
    const hosts = join(folder, 'hosts');
    await mkdir(join(hosts, options.hosts), { recursive: true });
    const mirror = `[host."${options.mirror}"]\n  capabilities = ["pull", "resolve"]\n`;
    await writeFile(join(hosts, options.hosts, 'hosts.toml'), mirror);
    const socket = join(folder, 'c.sock');
    const config = join(folder, 'containerd.toml');
    await writeFile(
      config,
      `version = 2
root = "${join(folder, 'root')}"
state = "${join(folder, 'state')}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${socket}"
[ttrpc]
  address = "${socket}.ttrpc"
`,
    );
    const env = clientEnvironment(options);
    const command = ['ctr', '--address', socket];
    const daemon = await startDaemon({
      place,
      argv: ['containerd', '--config', config],
      env,
      ready: async () => (await runIn(place, [...command, 'version'], { env })).code === 0,
    });
    const snapshotter = (await canOverlay(place, folder)) ? 'overlayfs' : 'native';
    return new Containerd(options, daemon, command, ['--hosts-dir', hosts, '--snapshotter', snapshotter]);
  }

  async pull(image: RealImage, host?: string): Promise<Finished> {
    const argv = [...this.#command, 'images', 'pull', ...this.#pullOptions, fullName(image, host)];
    return await runIn(this.#place, argv, { env: this.#env });
  }

  /** Looks the config up where containerd keeps it: `images check` says that all of the image is there. */
  async identify(image: RealImage, host?: string): Promise<Identity> {
    const name = fullName(image, host);
    const check = await this.#output('images', 'check', `name==${name}`);
    if (!/ complete \(\d+\/\d+\) /.test(check)) throw new Error(`expected a whole ${name}, got ${check}`);
    const digest = /sha256:[a-f0-9]{64}/.exec(await this.#output('images', 'ls', `name==${name}`))?.[0] ?? '';
    const manifest: unknown = JSON.parse(await this.#output('content', 'get', manifestFor(image).digest));
    return { imageId: JSON.stringify(manifest).includes(imageId(image)) ? imageId(image) : '', digest };
  }

  async wipe(): Promise<void> {
    const names = (await this.#output('images', 'ls', '--quiet')).split('\n').filter(name => name !== '');
    if (names.length > 0) await this.#output('images', 'rm', '--sync', ...names);
    const left = await this.#output('content', 'ls', '--quiet');
    if (left !== '') throw new Error(`expected no content in containerd, got ${left}`);
  }

  async close(): Promise<void> {
    await endDaemon(this.#daemon);
  }

  async #output(...args: readonly string[]): Promise<string> {
    return await outputIn(this.#place, [...this.#command, ...args], { env: this.#env });
  }
}
