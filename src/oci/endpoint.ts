/**
 * The endpoint table of the distribution API: every `/v2/` URL is parsed and built here. `parseEndpoint(buildEndpoint(x))` is x.
 * The raw request target is read, never a decoded one: no API path needs `%`, so an encoded slash or dot can't slip past a check.
 * Paths are read from their end, because `manifests`, `blobs`, `tags` and `referrers` are valid segments of a repository name.
 */
import { type Digest, parseDigest } from './digest.ts';
import { excerpt, RegistryError } from './error.ts';
import { isRawName, parseReference, type Reference } from './name.ts';

/** The ping, and the prefix of everything else (end-1). */
export const apiRoot = '/v2/';

/** `name` is as in the URL: grammar-checked, and may begin with a host (`ghcr.io/x/y`, `localhost:5000/x`). */
export type Endpoint =
  /** end-1 */
  | { readonly kind: 'ping' }
  /** end-3, end-7, end-9 */
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: Reference }
  /** end-2, end-10 */
  | { readonly kind: 'blob'; readonly name: string; readonly digest: Digest }
  /** end-4, end-5, end-6, end-11, end-13, end-14 */
  | { readonly kind: 'upload'; readonly name: string; readonly session?: string }
  /** end-8 */
  | { readonly kind: 'tags'; readonly name: string; readonly n?: number; readonly last?: string }
  /** end-12 */
  | {
      readonly kind: 'referrers';
      readonly name: string;
      readonly digest: Digest;
      readonly artifactType?: string;
    }
  /** Not in the OCI specification: the distribution project's own. */
  | { readonly kind: 'catalog'; readonly n?: number; readonly last?: string };

export interface ParsedTarget {
  readonly endpoint: Endpoint;
  /** The registry that the client means (OCI distribution-spec "Registry Proxying"). A look-up key, never an address. */
  readonly ns: string | undefined;
  readonly query: URLSearchParams;
}

/** What a path of an API may hold: visible ASCII without `%`, `\`, `#` and `"`, `<`, `>`. */
const pathPattern = /^[!$&-;=@-[\]^-~]*$/;
const sessionPattern = /^[A-Za-z0-9_][A-Za-z0-9._~=-]{0,255}$/;
/** Larger than any list: a longer number means the same as none. */
const countPattern = /^[0-9]{1,9}$/;

/** Whether a raw request target belongs to the API (and so to `parseEndpoint`), in origin or absolute form. */
export function isApiTarget(rawUrl: string): boolean {
  const { path } = splitTarget(rawUrl);
  return path.startsWith(apiRoot) || `${path}/` === apiRoot;
}

/**
 * Reads a raw request target (`request.url`).
 * Errors: NAME_INVALID (also for `%`, `..`, `//`, `#` and more than one `ns`), TAG_INVALID, DIGEST_INVALID,
 * BLOB_UPLOAD_UNKNOWN, NAME_UNKNOWN for a path that is no endpoint.
 */
export function parseEndpoint(rawUrl: string): ParsedTarget {
  const { path, search } = splitTarget(rawUrl);
  if (search.includes('#')) throw nameInvalid('a request target without a fragment', search);
  const query = new URLSearchParams(search);
  const spaces = query.getAll('ns');
  if (spaces.length > 1) throw nameInvalid('at most one ns', spaces.join(' and '));
  return { endpoint: parsePath(path, query), ns: spaces[0] === '' ? undefined : spaces[0], query };
}

/** The path and query of an endpoint, for a request or a `Link`. `ns` is added when given. */
export function buildEndpoint(
  endpoint: Endpoint,
  options: { readonly ns?: string | undefined } = {},
): string {
  const query = new URLSearchParams();
  if ('artifactType' in endpoint && endpoint.artifactType) query.set('artifactType', endpoint.artifactType);
  if ('n' in endpoint && endpoint.n !== undefined) query.set('n', String(endpoint.n));
  if ('last' in endpoint && endpoint.last) query.set('last', endpoint.last);
  if (options.ns) query.set('ns', options.ns);
  return apiRoot + buildPath(endpoint) + (query.size === 0 ? '' : `?${query}`);
}

function buildPath(endpoint: Endpoint): string {
  switch (endpoint.kind) {
    case 'ping':
      return '';
    case 'catalog':
      return '_catalog';
    case 'manifest':
      return `${endpoint.name}/manifests/${endpoint.reference}`;
    case 'blob':
      return `${endpoint.name}/blobs/${endpoint.digest}`;
    case 'upload':
      return `${endpoint.name}/blobs/uploads/${endpoint.session ?? ''}`;
    case 'tags':
      return `${endpoint.name}/tags/list`;
    case 'referrers':
      return `${endpoint.name}/referrers/${endpoint.digest}`;
  }
}

/** RFC 9112 3.2.2: an absolute target must be understood; its authority is no address for us, it is left out. */
function splitTarget(rawUrl: string): { path: string; search: string } {
  const target = rawUrl.replace(/^https?:\/\/[^/?#]*/i, '');
  const mark = target.indexOf('?');
  return mark === -1
    ? { path: target, search: '' }
    : { path: target.slice(0, mark), search: target.slice(mark + 1) };
}

function parsePath(path: string, query: URLSearchParams): Endpoint {
  if (`${path}/` === apiRoot || path === apiRoot) return { kind: 'ping' };
  if (!path.startsWith(apiRoot)) throw unknownPath(path);
  if (!pathPattern.test(path)) throw nameInvalid('a path without % and special characters', path);
  const segments = path.slice(apiRoot.length).split('/');
  const last = segments.pop() ?? '';
  const verb = segments.pop();
  if (verb === undefined && last === '_catalog') return { kind: 'catalog', ...pageOf(query) };
  if (verb === 'blobs' && last === 'uploads') return { kind: 'upload', name: parseName(segments) };
  if (verb === 'uploads' && segments.at(-1) === 'blobs') return parseUpload(segments.slice(0, -1), last);
  if (verb === undefined || [...segments, verb, last].some(isHole)) {
    throw verb === undefined && !isHole(last)
      ? unknownPath(path)
      : nameInvalid('a path without empty and dot segments', path);
  }
  switch (verb) {
    case 'manifests':
      return { kind: 'manifest', name: parseName(segments), reference: parseReference(last) };
    case 'blobs':
      return { kind: 'blob', name: parseName(segments), digest: parseDigest(last) };
    case 'referrers':
      return {
        kind: 'referrers',
        name: parseName(segments),
        digest: parseDigest(last),
        ...artifactTypeOf(query),
      };
    case 'tags':
      if (last === 'list') return { kind: 'tags', name: parseName(segments), ...pageOf(query) };
  }
  throw unknownPath(path);
}

function isHole(segment: string): boolean {
  return segment === '' || segment === '.' || segment === '..';
}

function parseName(segments: readonly string[]): string {
  const name = segments.join('/');
  if (isRawName(name)) return name;
  throw nameInvalid('a repository name of lower-case segments, at most 255 characters', name);
}

function parseUpload(nameSegments: readonly string[], session: string): Endpoint {
  const name = parseName(nameSegments);
  if (session === '') return { kind: 'upload', name };
  if (sessionPattern.test(session)) return { kind: 'upload', name, session };
  throw new RegistryError('BLOB_UPLOAD_UNKNOWN');
}

/** A malformed `n` counts as absent: the answer is then a page as large as the registry likes. */
function pageOf(query: URLSearchParams): { n?: number; last?: string } {
  const n = query.get('n');
  const last = query.get('last');
  return { ...(n !== null && countPattern.test(n) && { n: Number(n) }), ...(last && { last }) };
}

function artifactTypeOf(query: URLSearchParams): { artifactType?: string } {
  const artifactType = query.get('artifactType');
  return artifactType ? { artifactType } : {};
}

function nameInvalid(expected: string, got: string): RegistryError {
  return new RegistryError('NAME_INVALID', { message: `expected ${expected}, got ${excerpt(got)}` });
}

function unknownPath(path: string): RegistryError {
  return new RegistryError('NAME_UNKNOWN', {
    message: `expected an endpoint of the distribution API, got ${excerpt(path)}`,
  });
}
