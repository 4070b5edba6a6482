/**
 * containerd as a kubelet has it: the CRI plugin with the configuration and the hosts files of its settings under /etc/containerd,
 * and pulls by `PullImage` over its socket (gRPC, by hand: one message with one field).
 */
import { appendFile } from 'node:fs/promises';
import { connect as connectHttp2, type IncomingHttpHeaders } from 'node:http2';
import { connect as connectSocket } from 'node:net';
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
  withSettings,
} from './client.ts';
import type { Finished } from './command.ts';
import { endDaemon, startDaemon } from './daemon.ts';
import { imageId, manifestFor, type RealImage } from './image-set.ts';
import { outputIn, type Place, runIn } from './place.ts';

export class Cri implements RealClient {
  readonly #place: Place;
  readonly #daemon: SpawnedProcess;
  readonly #socket: string;
  readonly #env: Readonly<Record<string, string | undefined>>;

  private constructor(options: ClientOptions, daemon: SpawnedProcess, socket: string) {
    this.#place = options.place;
    this.#daemon = daemon;
    this.#socket = socket;
    this.#env = clientEnvironment(options);
  }

  static async start(options: ClientOptions & { readonly settings: string }): Promise<Cri> {
    await prepareFolder(options);
    const { folder, place, settings } = options;
    const snapshotter = '\n[plugins."io.containerd.grpc.v1.cri".containerd]\n  snapshotter = "native"\n';
    if (!(await canOverlay(place, folder)))
      await appendFile(join(settings, 'etc/containerd/config.toml'), snapshotter);
    const socket = join(folder, 'c.sock');
    const folders = ['--root', join(folder, 'root'), '--state', join(folder, 'state')];
    const env = clientEnvironment(options);
    const daemon = await startDaemon({
      place,
      argv: withSettings(settings, '/etc/containerd', ['containerd', ...folders, '--address', socket]),
      env,
      ready: async () => (await runIn(place, ['ctr', '--address', socket, 'version'], { env })).code === 0,
    });
    return new Cri(options, daemon, socket);
  }

  async pull(image: RealImage, host?: string): Promise<Finished> {
    const { status, message } = await pullImage(this.#socket, fullName(image, host));
    return { code: status, stdout: '', stderr: message };
  }

  async identify(image: RealImage, host?: string): Promise<Identity> {
    const name = fullName(image, host);
    const check = await this.#output('images', 'check', `name==${name}`);
    if (!/ complete \(\d+\/\d+\) /.test(check)) throw new Error(`expected a whole ${name}, got ${check}`);
    const digest = /sha256:[a-f0-9]{64}/.exec(await this.#output('images', 'ls', `name==${name}`))?.[0] ?? '';
    const manifest = await this.#output('content', 'get', manifestFor(image).digest);
    return { imageId: manifest.includes(imageId(image)) ? imageId(image) : '', digest };
  }

  async wipe(): Promise<void> {
    const names = (await this.#output('images', 'ls', '--quiet')).split('\n').filter(name => name !== '');
    if (names.length > 0) await this.#output('images', 'rm', '--sync', ...names);
  }

  async close(): Promise<void> {
    await endDaemon(this.#daemon);
  }

  async #output(...args: readonly string[]): Promise<string> {
    const argv = ['ctr', '--address', this.#socket, '--namespace', 'k8s.io', ...args];
    return await outputIn(this.#place, argv, { env: this.#env });
  }
}

/** How it ended as gRPC says it: 0 is success. */
async function pullImage(socket: string, name: string): Promise<{ status: number; message: string }> {
  const session = connectHttp2('http://localhost', { createConnection: () => connectSocket(socket) });
  try {
    return await new Promise((resolve, reject) => {
      session.once('error', reject);
      const stream = session.request({
        ':method': 'POST',
        ':path': '/runtime.v1.ImageService/PullImage',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const settle = (headers: IncomingHttpHeaders): void => {
        const { 'grpc-status': status, 'grpc-message': message } = headers;
        if (status !== undefined) resolve({ status: Number(status), message: String(message ?? '') });
      };
      stream.once('response', settle); // a refusal may be all there is
      stream.once('trailers', settle);
      stream.once('error', reject);
      stream.once('close', () => reject(new Error('expected a gRPC status, got the end of the stream')));
      stream.resume();
      stream.end(frame(field(1, field(1, Buffer.from(name)))));
    });
  } finally {
    session.close();
  }
}

/** A length-delimited field of at most 127 bytes. */
function field(number: number, value: Buffer): Buffer {
  if (value.length > 127) throw new Error(`expected at most 127 bytes, got ${value.length}`);
  return Buffer.concat([Buffer.from([(number << 3) | 2, value.length]), value]);
}

function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
