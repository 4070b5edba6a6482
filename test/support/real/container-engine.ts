/**
 * podman as a user who builds and runs a container has it, with a storage of its own: images from a tar or a Dockerfile, one
 * container at a time in the foreground, commands in it. Settings and images of the machine's own podman are not used.
 */
import { join } from 'node:path';
import { SpawnedProcess } from '../process.ts';
import { canOverlay, clientEnvironment, prepareFolder } from './client.ts';
import type { CommandOptions, Finished } from './command.ts';
import { outputIn, type Place, runIn } from './place.ts';

export interface RunOptions {
  /** The container's name. */
  readonly name: string;
  readonly image: string;
  /** Of `podman run`. */
  readonly flags: readonly string[];
  /** A line of its output that says that it is ready. */
  readonly ready: string;
}

/** podman asks for more than a machine that is a container itself may give. */
const limits = ['--ulimit', 'nofile=4096:4096', '--ulimit', 'nproc=4096:4096'];

export class ContainerEngine {
  readonly #place: Place;
  readonly #command: readonly string[];
  readonly #options: CommandOptions;

  private constructor(place: Place, command: readonly string[], options: CommandOptions) {
    this.#place = place;
    this.#command = command;
    this.#options = options;
  }

  static async create(options: { readonly folder: string; readonly place: Place }): Promise<ContainerEngine> {
    const { folder, place } = options;
    const client = { folder, place, mirror: 'http://127.0.0.1' };
    await prepareFolder(client);
    const folders = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run')];
    const driver = ['--storage-driver', (await canOverlay(place, folder)) ? 'overlay' : 'vfs'];
    const plain = ['--cgroup-manager', 'cgroupfs', '--events-backend', 'none', '--runtime', 'runc'];
    // The health check is asked for by the tests, not by timers of systemd.
    const env = { ...clientEnvironment(client), DISABLE_HC_SYSTEMD: 'true' };
    return new ContainerEngine(place, ['podman', ...folders, ...driver, ...plain], {
      env,
      timeoutMs: 180_000,
    });
  }

  /** An image of one layer, with the usual PATH. */
  async importTar(tar: string, name: string): Promise<void> {
    const path = 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
    await this.output('import', '--change', path, tar, name);
  }

  /** Nothing is pulled. `npmCache` is what npm finds in its cache; it is not changed. */
  async build(context: string, tag: string, npmCache: string): Promise<void> {
    const how = ['--isolation', 'chroot', '--network', 'host', '--pull=never', '--format', 'docker'];
    await this.output('build', ...how, '--volume', `${npmCache}:/root/.npm:O`, '--tag', tag, context);
  }

  async start(options: RunOptions): Promise<SpawnedProcess> {
    const { name, image, flags } = options;
    const argv = [...this.#command, 'run', '--rm', '--name', name, '--network', 'host', ...limits, ...flags];
    // In the mounts of the place, unlike a daemon: `podman exec` looks into the container's files.
    const container = new SpawnedProcess(
      'setpriv',
      ['--pdeathsig', 'TERM', '--', ...this.#place.command([...argv, image])],
      { env: { ...process.env, ...this.#options.env } },
    );
    const isReady = (line: string) => (line.includes(options.ready) ? true : undefined);
    await container.waitFor(isReady, `a line with ${options.ready}`);
    return container;
  }

  /** Any podman command; how it ended. */
  async run(...args: readonly string[]): Promise<Finished> {
    return await runIn(this.#place, [...this.#command, ...args], this.#options);
  }

  /** Errors: it failed. */
  async output(...args: readonly string[]): Promise<string> {
    return await outputIn(this.#place, [...this.#command, ...args], this.#options);
  }

  /** A command in a new container that is gone afterwards. */
  async runOnce(image: string, ...argv: readonly string[]): Promise<Finished> {
    return await this.run('run', '--rm', '--network', 'host', ...limits, image, ...argv);
  }
}
