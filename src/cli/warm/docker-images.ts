/** The images of a running Docker host (or of podman's service), as its Engine API lists them. */
import { type IncomingMessage, request } from 'node:http';
import { CommandError } from '../command-line.ts';
import type { ImageList } from './image-list.ts';

const defaultSocket = '/var/run/docker.sock';
const maxBytes = 64 * 1024 * 1024;

/**
 * `socket` undefined: that of DOCKER_HOST, or Docker's own. What was only built there has no digest of a registry and is left out. Errors:
 * `CommandError`.
 */
export async function listDockerImages(
  socket: string | undefined,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<ImageList> {
  const socketPath = socket ?? socketOf(env['DOCKER_HOST']);
  const listed: unknown = JSON.parse(await get(socketPath, '/images/json', signal));
  const images = new Set<string>();
  let left = 0;
  for (const image of Array.isArray(listed) ? listed : []) {
    const digests = textsOf(image?.RepoDigests).filter(isNamed);
    const tags = textsOf(image?.RepoTags).filter(isNamed);
    const [first] = digests;
    if (first === undefined) left += 1;
    else if (tags.length === 0) images.add(first);
    else for (const tag of tags) images.add(tag);
  }
  const note = `${left} of the images at ${socketPath} came from no registry and are left out`;
  return { images: [...images], notes: left === 0 ? [] : [note] };
}

function socketOf(host: string | undefined): string {
  if (host === undefined || host === '') return defaultSocket;
  if (host.startsWith('unix://')) return host.slice('unix://'.length);
  throw new CommandError(
    `--from-docker reads a socket, and DOCKER_HOST is ${host}: name a socket`,
    'NAME_INVALID',
  );
}

function get(socketPath: string, path: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) =>
      reject(new CommandError(`cannot list the images of Docker at ${socketPath}: ${error.message}`));
    const read = async (response: IncomingMessage) => {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) {
        text += chunk;
        if (text.length > maxBytes) throw new Error('the list is larger than 64 MiB');
      }
      if (response.statusCode !== 200) throw new Error(`it answered with ${response.statusCode}`);
      return text;
    };
    // the host is only for the Host header
    const asked = request({ socketPath, path, host: 'docker', agent: false, signal }, response => {
      read(response).then(resolve, fail);
    });
    asked.on('error', fail);
    asked.end();
  });
}

function textsOf(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter(item => typeof item === 'string') : [];
}

function isNamed(text: string): boolean {
  return !text.includes('<none>');
}
