/**
 * What the suites know of a real client: it pulls, says what it has, and can be emptied so that it pulls all of it again.
 * Every client keeps to folders, sockets and settings of its own; nothing of the machine's own Docker or podman is read.
 */
import { copyFile, mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Finished } from './command.ts';
import type { RealImage } from './image-set.ts';
import { type Place, runIn } from './place.ts';

export interface Identity {
  /** Digest of the image's config: what Docker and podman call the image id. */
  readonly imageId: string;
  /** Digest of what the tag names. */
  readonly digest: string;
}

export interface RealClient {
  /** By `HOST/REPOSITORY:TAG`, with docker.io for `host` left out. Gives how the pull ended; a failed one is no error. */
  pull(image: RealImage, host?: string): Promise<Finished>;
  /** Errors: the image isn't there, or not whole. */
  identify(image: RealImage, host?: string): Promise<Identity>;
  /** Errors: something is left afterwards. */
  wipe(): Promise<void>;
  close(): Promise<void>;
}

/** Builds images and pushes them to registries of any name. */
export interface PushingClient extends RealClient {
  /** What it pulled as `base`, with one more layer that holds the file. */
  build(base: RealImage, file: string, image: ImageReference, host: string): Promise<void>;
  /** What it has as `image`, under that name too. Gives the digest that it says it pushed. */
  push(image: ImageReference, host: string, as?: ImageReference): Promise<string>;
}

export type ImageReference = Pick<RealImage, 'repository' | 'tag'>;

export interface ClientOptions {
  /** Its own folder, short enough for a socket in it. */
  readonly folder: string;
  readonly place: Place;
  /** `http://127.0.0.1:PORT` of the mirror. */
  readonly mirror: string;
  /** Stands for `/`: the client finds its own settings there, below `etc`, and is told nothing else of the mirror. */
  readonly settings?: string;
  /** PEM file of the authority that the client trusts instead of the machine's: that of the server that plays Docker Hub. */
  readonly trusted?: string;
}

/** The name users type: `docker.io/library/busybox:1.36`. */
export function fullName(image: ImageReference, host = 'docker.io'): string {
  return `${host}/${image.repository}:${image.tag}`;
}

/** Keeps a client away from the settings of the user who runs the tests, and from proxies. */
export function clientEnvironment(options: ClientOptions): Record<string, string | undefined> {
  return {
    HOME: options.folder,
    TMPDIR: join(options.folder, 'tmp'),
    DOCKER_CONFIG: options.folder,
    REGISTRY_AUTH_FILE: undefined,
    XDG_RUNTIME_DIR: undefined,
    NO_PROXY: '*',
    no_proxy: '*',
    ...(options.trusted === undefined
      ? {}
      : { SSL_CERT_FILE: options.trusted, SSL_CERT_DIR: options.folder }),
  };
}

/** Makes what every client finds in its folder: a place for temporary files and settings that say nothing. */
export async function prepareFolder(options: ClientOptions): Promise<void> {
  await mkdir(join(options.folder, 'tmp'), { recursive: true });
  await mkdir(join(options.folder, 'blob-cache'), { recursive: true });
  await writeFile(join(options.folder, 'config.json'), '{}');
}

/** The folder for a `docker build` of `base` and one more layer, with the file in its root. */
export async function writeBuildContext(folder: string, base: string, file: string): Promise<string> {
  const context = await mkdtemp(join(folder, 'context-'));
  await copyFile(file, join(context, basename(file)));
  await writeFile(join(context, 'Dockerfile'), `FROM ${base}\nCOPY ${basename(file)} /\n`);
  return context;
}

/**
 * podman and skopeo keep, for root, one memory of blobs per machine that nothing redirects: with it a pull would ask for
 * less than it does on a new machine. So they see a folder of the client in its place.
 */
export function withOwnBlobCache(folder: string, argv: readonly string[]): string[] {
  const shared = '/var/lib/containers/cache';
  const script = `mkdir -p ${shared} && mount --bind "$1" ${shared} && shift && exec "$@"`;
  const own = ['sh', '-c', script, 'sh', join(folder, 'blob-cache')];
  return ['unshare', '--mount', '--propagation', 'private', ...own, ...argv];
}

/** `argv` with a folder of `settings` in the place of the machine's; for a process that has mounts of its own. */
export function withSettings(
  settings: string | undefined,
  folder: string,
  argv: readonly string[],
): readonly string[] {
  if (settings === undefined) return argv;
  const script = 'mkdir -p "$2" && mount --bind "$1" "$2" && shift 2 && exec "$@"';
  return ['sh', '-c', script, 'sh', join(settings, folder), folder, ...argv];
}

/** Whether layers can be mounted on each other in this folder; where not, clients copy them (slower, same requests). */
export async function canOverlay(place: Place, folder: string): Promise<boolean> {
  const parts = ['lower', 'upper', 'work', 'merged'].map(name => join(folder, 'overlay-probe', name));
  for (const part of parts) await mkdir(part, { recursive: true });
  const [lower, upper, work, merged = ''] = parts;
  const mount = [
    'mount',
    '-t',
    'overlay',
    '-o',
    `lowerdir=${lower},upperdir=${upper},workdir=${work}`,
    'overlay',
    merged,
  ];
  return (await runIn(place, ['unshare', '--mount', ...mount])).code === 0;
}
