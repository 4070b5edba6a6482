/**
 * The endpoint table of the distribution API: method and `/v2/` URL become one kind, and every URL is built here, so that
 * server and client agree. The raw request target is read, never a decoded one: no API path needs `%`, so an encoded slash
 * or dot cannot pass a check. Paths are read from their end, because `manifests`, `blobs`, `tags` and `referrers` are valid
 * segments of a repository name too.
 */
import { type Digest, type ForeignDigest, invalidDigest, isForeignDigest, parseDigest } from './digest.ts';
import { excerpt, RegistryError } from './error.ts';
import { isRawName, parseReference, type Reference } from './name.ts';

/** The ping, and the prefix of everything else (end-1). */
export const apiRoot = '/v2/';

/** `name` is as in the URL: grammar-checked, and may begin with a host (`ghcr.io/x/y`, `localhost:5000/x`). */
export type Endpoint =
  | { readonly kind: 'ping' } // end-1, GET and HEAD
  /** end-3 GET and HEAD · end-7 PUT · end-9 DELETE */
  | {
      readonly kind: 'manifest' | 'manifest-put' | 'manifest-delete';
      readonly name: string;
      readonly reference: Reference;
    }
  /** end-2 GET and HEAD · end-10 DELETE */
  | { readonly kind: 'blob' | 'blob-delete'; readonly name: string; readonly digest: Digest }
  /** end-2 and end-3 GET and HEAD, by a digest that isn't computed here */
  | {
      readonly kind: 'foreign';
      readonly of: 'manifest' | 'blob';
      readonly name: string;
      readonly digest: ForeignDigest;
    }
  /** end-4a, end-4b and end-11 POST: whole, in a session, or as a mount, by the query */
  | { readonly kind: 'upload-start'; readonly name: string }
  /** end-13 GET · end-5 PATCH · end-6 PUT · end-14 DELETE */
  | {
      readonly kind: 'upload-status' | 'upload-chunk' | 'upload-commit' | 'upload-cancel';
      readonly name: string;
      readonly session: string;
    }
  /** end-8 GET and HEAD */
  | { readonly kind: 'tags'; readonly name: string; readonly n?: number; readonly last?: string }
  /** end-12 GET and HEAD */
  | {
      readonly kind: 'referrers';
      readonly name: string;
      readonly digest: Digest;
      readonly artifactType?: string;
    }
  /** GET and HEAD; not in the OCI specification but in the distribution project */
  | { readonly kind: 'catalog'; readonly n?: number; readonly last?: string }
  /** A valid path that has no such method. `path`: the kind that GET has there, or an upload. */
  | { readonly kind: 'unsupported'; readonly path: ReadKind | 'upload' };

/** What GET and HEAD can ask for. */
export type ReadKind = 'ping' | 'manifest' | 'blob' | 'tags' | 'referrers' | 'catalog';

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
 * Reads a method and a raw request target (`request.url`). The query of an upload or a push is left to its handler, which
 * checks rights first. Errors: NAME_INVALID (also for `%`, `..`, `//`, `#` and more than one `ns`), TAG_INVALID, DIGEST_INVALID,
 * BLOB_UPLOAD_UNKNOWN, NAME_UNKNOWN for a path that is no endpoint, whatever the method.
 */
export function parseEndpoint(method: string, rawUrl: string): ParsedTarget {
  const { path, search } = splitTarget(rawUrl);
  if (search.includes('#')) throw nameInvalid('a request target without a fragment', search);
  const query = new URLSearchParams(search);
  const spaces = query.getAll('ns');
  if (spaces.length > 1) throw nameInvalid('at most one ns', spaces.join(' and '));
  return {
    endpoint: withMethod(method, parsePath(path, query)),
    ns: spaces[0] === '' ? undefined : spaces[0],
    query,
  };
}

export type BuildableEndpoint = Exclude<Endpoint, { readonly kind: 'unsupported' }>;

/** The path and query of an endpoint, for a request or a `Link`. `ns` is added when given. */
export function buildEndpoint(
  endpoint: BuildableEndpoint,
  options: { readonly ns?: string | undefined } = {},
): string {
  const query = new URLSearchParams();
  if ('artifactType' in endpoint && endpoint.artifactType) query.set('artifactType', endpoint.artifactType);
  if ('n' in endpoint && endpoint.n !== undefined) query.set('n', String(endpoint.n));
  if ('last' in endpoint && endpoint.last) query.set('last', endpoint.last);
  if (options.ns) query.set('ns', options.ns);
  return apiRoot + buildPath(endpoint) + (query.size === 0 ? '' : `?${query}`);
}

function buildPath(endpoint: BuildableEndpoint): string {
  switch (endpoint.kind) {
    case 'ping':
      return '';
    case 'catalog':
      return '_catalog';
    case 'manifest':
    case 'manifest-put':
    case 'manifest-delete':
      return `${endpoint.name}/manifests/${endpoint.reference}`;
    case 'blob':
    case 'blob-delete':
      return `${endpoint.name}/blobs/${endpoint.digest}`;
    case 'foreign':
      return `${endpoint.name}/${endpoint.of}s/${endpoint.digest}`;
    case 'upload-start':
      return `${endpoint.name}/blobs/uploads/`;
    case 'upload-status':
    case 'upload-chunk':
    case 'upload-commit':
    case 'upload-cancel':
      return `${endpoint.name}/blobs/uploads/${endpoint.session}`;
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

/** What a path names. */
type Resource =
  | Extract<Endpoint, { readonly kind: Exclude<ReadKind, 'manifest' | 'blob'> | 'foreign' }>
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: Reference }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: Digest }
  | { readonly kind: 'upload'; readonly name: string; readonly session: string | undefined };

function withMethod(method: string, resource: Resource): Endpoint {
  if (resource.kind === 'upload') return uploadWithMethod(method, resource);
  if (method === 'GET' || method === 'HEAD') return resource;
  if (resource.kind === 'foreign') throw invalidDigest(resource.digest); // neither pushed nor deleted
  if (resource.kind === 'manifest' && method === 'PUT') return { ...resource, kind: 'manifest-put' };
  if (resource.kind === 'manifest' && method === 'DELETE') return { ...resource, kind: 'manifest-delete' };
  if (resource.kind === 'blob' && method === 'DELETE') return { ...resource, kind: 'blob-delete' };
  return { kind: 'unsupported', path: resource.kind };
}

const uploadKinds = {
  GET: 'upload-status',
  PATCH: 'upload-chunk',
  PUT: 'upload-commit',
  DELETE: 'upload-cancel',
} as const;

function uploadWithMethod(method: string, { name, session }: Resource & { kind: 'upload' }): Endpoint {
  if (session === undefined && method === 'POST') return { kind: 'upload-start', name };
  if (session !== undefined && isUploadMethod(method)) return { kind: uploadKinds[method], name, session };
  return { kind: 'unsupported', path: 'upload' };
}

function isUploadMethod(method: string): method is keyof typeof uploadKinds {
  return Object.hasOwn(uploadKinds, method);
}

function parsePath(path: string, query: URLSearchParams): Resource {
  if (`${path}/` === apiRoot || path === apiRoot) return { kind: 'ping' };
  if (!path.startsWith(apiRoot)) throw unknownPath(path);
  if (!pathPattern.test(path)) throw nameInvalid('a path without % and special characters', path);
  const segments = path.slice(apiRoot.length).split('/');
  const last = segments.pop() ?? '';
  const verb = segments.pop();
  if (verb === undefined && last === '_catalog') return { kind: 'catalog', ...pageOf(query) };
  if (verb === 'blobs' && last === 'uploads')
    return { kind: 'upload', name: parseName(segments), session: undefined };
  if (verb === 'uploads' && segments.at(-1) === 'blobs') return parseUpload(segments.slice(0, -1), last);
  if (verb === undefined || [...segments, verb, last].some(isHole)) {
    throw verb === undefined && !isHole(last)
      ? unknownPath(path)
      : nameInvalid('a path without empty and dot segments', path);
  }
  switch (verb) {
    case 'manifests':
      if (isForeignDigest(last))
        return { kind: 'foreign', of: 'manifest', name: parseName(segments), digest: last };
      return { kind: 'manifest', name: parseName(segments), reference: parseReference(last) };
    case 'blobs':
      if (isForeignDigest(last))
        return { kind: 'foreign', of: 'blob', name: parseName(segments), digest: last };
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

function parseUpload(nameSegments: readonly string[], session: string): Resource {
  const name = parseName(nameSegments);
  if (session === '') return { kind: 'upload', name, session: undefined };
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
