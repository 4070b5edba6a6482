/**
 * A machine of its own, which is a network namespace, with a Docker daemon that has only a daemon.json. Commands are given as they are
 * typed, one line without quotes.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Finished } from './command.ts';
import { Dockerd } from './dockerd.ts';
import { Namespace, runIn } from './place.ts';

/** Lines of docker's output that come and go while it works. */
const progress =
  /^[0-9a-f]{12}: (?:Preparing|Waiting|Pulling fs layer|Verifying Checksum|Download complete)$/;
const layer = /^[0-9a-f]{12}: /;

export class DockerMachine {
  readonly place: Namespace;
  readonly #folder: string;
  #docker: Dockerd | undefined;

  private constructor(place: Namespace, folder: string) {
    this.place = place;
    this.#folder = folder;
  }

  /** `names`: what it finds at its own address. */
  static async create(folder: string, names: readonly string[]): Promise<DockerMachine> {
    return new DockerMachine(await Namespace.create(folder, names), folder);
  }

  /** Restarts it, with its images, when one runs already. */
  async startDocker(settings: object): Promise<void> {
    await this.#docker?.close();
    const folder = join(this.#folder, 'docker');
    await mkdir(join(folder, 'etc/docker'), { recursive: true });
    await writeFile(join(folder, 'etc/docker/daemon.json'), JSON.stringify(settings));
    this.#docker = await Dockerd.start({ folder, place: this.place, mirror: '', settings: folder });
  }

  async run(line: string): Promise<Finished> {
    const [command, ...words] = line.split(' ');
    if (command !== 'docker') return await runIn(this.place, line.split(' '));
    if (this.#docker === undefined) throw new Error('expected a Docker daemon');
    return await this.#docker.run(...words);
  }

  /** What it prints, without progress; the lines of layers sorted and without their ids. Errors: any exit code but 0. */
  async types(line: string): Promise<string[]> {
    const { code, stdout, stderr } = await this.run(line);
    if (code !== 0) throw new Error(`expected exit code 0, got ${code}: ${line}\n${stderr}${stdout}`);
    const lines = stdout.split('\n').filter(text => text !== '' && !progress.test(text));
    const layers = lines.filter(text => layer.test(text)).map(text => text.replace(layer, 'LAYER: '));
    const sorted = layers.sort().values();
    return lines.map(text => (layer.test(text) ? (sorted.next().value ?? '') : text));
  }

  async close(): Promise<void> {
    await this.#docker?.close();
    await this.place.close();
  }
}
