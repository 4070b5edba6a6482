/**
 * Where a real part runs: on the host's loopback, or in a network namespace of its own that has nothing but a loopback,
 * its own /etc/hosts and no name server. In the latter, "Docker Hub" is the server that listens on 127.0.0.1:443, nothing can
 * reach the Internet, and a host name is taken away by writing the hosts file anew.
 * Mounts made inside (overlay file systems of dockerd) vanish with it; nothing is left in /run/netns.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CommandOptions, commandOutput, type Finished, runCommand } from './command.ts';

export interface Place {
  /** The command line that runs `argv` there. */
  command(argv: readonly string[]): string[];
}

export const host: Place = { command: argv => [...argv] };

export class Namespace implements Place {
  readonly #holder: ChildProcess;
  readonly #hostsPath: string;

  private constructor(holder: ChildProcess, hostsPath: string) {
    this.#holder = holder;
    this.#hostsPath = hostsPath;
  }

  /** `names`: what resolves, and only that, to 127.0.0.1. Needs root. */
  static async create(folder: string, names: readonly string[]): Promise<Namespace> {
    await mkdir(folder, { recursive: true });
    const hostsPath = join(folder, 'hosts');
    const resolverPath = join(folder, 'resolv.conf');
    await writeFile(hostsPath, hostsFile(names));
    await writeFile(resolverPath, 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n');
    const script =
      'ip link set lo up && mount --bind "$1" "$3" && mount --bind "$2" "$4" && echo ready && exec cat';
    const targets = [await realpath('/etc/hosts'), await realpath('/etc/resolv.conf')];
    const holder = spawn(
      'unshare',
      [
        '--net',
        '--mount',
        '--propagation',
        'private',
        'sh',
        '-c',
        script,
        'sh',
        hostsPath,
        resolverPath,
        ...targets,
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] }, // `cat` ends with our end of its standard input, and the namespace with it
    );
    await new Promise<void>((resolve, reject) => {
      holder.stdout?.once('data', () => resolve());
      holder.once('error', reject);
      holder.once('exit', code => reject(new Error(`expected a network namespace, got exit code ${code}`)));
    });
    return new Namespace(holder, hostsPath);
  }

  command(argv: readonly string[]): string[] {
    return [
      'nsenter',
      '--target',
      `${this.#holder.pid}`,
      '--net',
      '--mount',
      '--root',
      '--wd',
      '--',
      ...argv,
    ];
  }

  async setNames(names: readonly string[]): Promise<void> {
    await writeFile(this.#hostsPath, hostsFile(names)); // in place: a bind mount follows the inode
  }

  /** A wire to another one, each with an address of the same /24 network. It goes with either of them. */
  async connect(address: string, other: Namespace, otherAddress: string): Promise<void> {
    const peer = ['peer', 'name', 'wire', 'netns', `${other.#holder.pid}`];
    await outputIn(this, ['ip', 'link', 'add', 'wire', 'type', 'veth', ...peer]);
    for (const [place, own] of [
      [this, address],
      [other, otherAddress],
    ] as const) {
      await outputIn(place, ['ip', 'address', 'add', `${own}/24`, 'dev', 'wire']);
      await outputIn(place, ['ip', 'link', 'set', 'wire', 'up']);
    }
  }

  async close(): Promise<void> {
    if (this.#holder.exitCode !== null) return;
    const ended = new Promise(resolve => this.#holder.once('exit', resolve));
    this.#holder.stdin?.end();
    await ended;
  }
}

export async function runIn(
  place: Place,
  argv: readonly string[],
  options?: CommandOptions,
): Promise<Finished> {
  return await runCommand(place.command(argv), options);
}

export async function outputIn(
  place: Place,
  argv: readonly string[],
  options?: CommandOptions,
): Promise<string> {
  return await commandOutput(place.command(argv), options);
}

/** The status of a GET as seen from that place; 0 when there is no answer within 5 s. */
export async function statusIn(place: Place, url: string): Promise<number> {
  const { stdout } = await runIn(place, [
    'curl',
    '-sk',
    '-m',
    '5',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code}',
    url,
  ]);
  return Number(stdout);
}

function hostsFile(names: readonly string[]): string {
  return `127.0.0.1 localhost ${names.join(' ')}\n`;
}
