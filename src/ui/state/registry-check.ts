/**
 * Asks the registry API as a client does: its root, then the manifest of an image. Without the page's cookie, which is for the
 * API of the page alone; a registry that asks for a login is asked for an anonymous token, as clients do.
 */
import type { MirrorForClients } from '../../clients/client-setup.ts';
import type { ImagesAnswer } from '../../http/api/schema/images.ts';
import type { SetupAnswer } from '../../http/api/schema/setup.ts';
import { splitImage } from '../text/image-name.ts';
import { ApiError, read } from './api.ts';

export interface CheckResult {
  readonly what: string;
  readonly outcome: 'good' | 'warn' | 'bad';
  readonly words: string;
}

/** As in oci/endpoint.ts, which browsers can't load: it computes digests. */
const registryRoot = '/v2/';

const manifestTypes = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

export async function* checkRegistry(
  answer: SetupAnswer,
  mirror: MirrorForClients,
): AsyncGenerator<CheckResult> {
  const root = await ask(registryRoot, 'GET');
  const isRegistry = root?.headers.get('Docker-Distribution-API-Version') === 'registry/2.0';
  if (root === undefined || !isRegistry) {
    yield {
      what: 'The registry API does not answer',
      outcome: 'bad',
      words: `GET ${registryRoot} at ${location.host}`,
    };
    return;
  }
  const asksLogin = root.status === 401;
  yield {
    what: 'The registry API answers',
    outcome: 'good',
    words: asksLogin
      ? `${location.host} takes logins: docker login ${mirror.host}`
      : `${location.host}, no login needed`,
  };
  const image = await findImage(mirror);
  if (image === undefined) {
    yield {
      what: 'No image to try',
      outcome: 'warn',
      words: 'nothing is held yet, and no upstream is configured',
    };
    return;
  }
  yield await checkManifest(image);
  if (new URL(answer.url).host !== location.host)
    yield {
      what: 'Another address',
      outcome: 'warn',
      words: `the files below name ${answer.url} (http.public_url), and not ${location.origin}, where this page is`,
    };
}

async function checkManifest(image: string): Promise<CheckResult> {
  const { host, path, reference } = splitImage(image);
  const target = `${registryRoot}${path}/manifests/${reference.slice(1)}${host === undefined ? '' : `?ns=${host}`}`;
  const startedMs = performance.now();
  let response = await ask(target, 'HEAD');
  if (response?.status === 401) {
    const token = await readToken(response.headers.get('WWW-Authenticate'));
    if (token !== undefined) response = await ask(target, 'HEAD', token);
  }
  const ms = Math.round(performance.now() - startedMs);
  if (response?.ok)
    return { what: `${image} can be pulled`, outcome: 'good', words: `its manifest came in ${ms} ms` };
  if (response?.status === 401 || response?.status === 403)
    return {
      what: `${image} needs a login`,
      outcome: 'warn',
      words: 'the registry works, and this image is for users alone',
    };
  const words =
    response === undefined
      ? 'there was no answer'
      : `the answer had status ${response.status}: see the upstreams on the overview`;
  return { what: `${image} can't be pulled`, outcome: 'bad', words };
}

/** One that is held; else one that exists at Docker Hub. */
async function findImage({ upstreams, defaultUpstream }: MirrorForClients): Promise<string | undefined> {
  try {
    const { images } = await read<ImagesAnswer>('images', { n: 1 }, AbortSignal.timeout(5000));
    const [held] = images;
    if (held !== undefined) return held.image;
  } catch (error) {
    if (!(error instanceof ApiError) && !(error instanceof DOMException)) throw error;
  }
  const hub = upstreams.find(({ key, isHub }) => isHub && key === defaultUpstream);
  return hub === undefined ? undefined : `${hub.key}/library/busybox:latest`;
}

/** Of an anonymous caller. Undefined: none is given, or the realm is elsewhere. */
async function readToken(challenge: string | null): Promise<string | undefined> {
  const fields = Object.fromEntries(
    Array.from((challenge ?? '').matchAll(/(\w+)="([^"]*)"/g), ([, name, value]) => [name, value]),
  );
  const { realm, service, scope } = fields;
  if (realm === undefined || !URL.canParse(realm)) return undefined;
  const url = new URL(realm);
  if (url.host !== location.host) return undefined;
  if (service !== undefined) url.searchParams.set('service', service);
  if (scope !== undefined) url.searchParams.set('scope', scope);
  const response = await ask(`${url.pathname}${url.search}`, 'GET');
  const body: unknown = response?.ok ? await response.json().catch(() => undefined) : undefined;
  if (typeof body !== 'object' || body === null || !('token' in body) || typeof body.token !== 'string')
    return undefined;
  return body.token;
}

/** Undefined: no answer. */
async function ask(target: string, method: 'GET' | 'HEAD', token?: string): Promise<Response | undefined> {
  try {
    return await fetch(target, {
      method,
      credentials: 'omit',
      cache: 'no-store',
      headers: { Accept: manifestTypes, ...(token !== undefined && { Authorization: `Bearer ${token}` }) },
      signal: AbortSignal.timeout(15_000),
    });
  } catch (error) {
    if (error instanceof TypeError || error instanceof DOMException) return undefined;
    throw error;
  }
}
