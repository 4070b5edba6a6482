/**
 * The pull side of `/v2/`: a table of endpoint kind and method. The URL is read by `oci/endpoint`, the repository found
 * by the directory, the answer given by that repository's registry; nothing here knows where content comes from.
 */
import type { Access } from '../../auth/access.ts';
import { type Endpoint, parseEndpoint } from '../../oci/endpoint.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Caller } from '../../registry/caller.ts';
import type { Directory } from '../../registry/directory.ts';
import type { ReadOptions, RepositoryCatalog } from '../../registry/registry.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { AppContext } from '../exchange.ts';
import { apiVersion, apiVersionHeader, isFitForHeader } from './answer-headers.ts';
import { mustCheck } from './conditional.ts';
import { answerBlob } from './pull-blob.ts';
import { answerManifest } from './pull-manifest.ts';
import { answerCatalog, answerReferrers, answerTags } from './pull-pages.ts';
import type { PullRequest } from './pull-request.ts';

export interface PullOptions {
  readonly directory: Pick<Directory, 'find'>;
  readonly catalog: RepositoryCatalog;
  readonly access: Access;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

const kinds: Readonly<Record<Endpoint['kind'], Kind>> = {
  ping: 'ping',
  manifest: 'manifest',
  blob: 'blob',
  upload: 'other',
  tags: 'tags',
  referrers: 'referrers',
  catalog: 'catalog',
};

/** Answers a request whose target `isApiTarget`. */
export async function answerPull(context: AppContext, pull: PullOptions): Promise<void> {
  const { exchange } = context.state;
  context.set(apiVersionHeader, apiVersion);
  requireHost(context);
  const { endpoint, ns, query } = parseEndpoint(context.req.url ?? '');
  exchange.kind = kinds[endpoint.kind];
  exchange.ns = ns?.slice(0, 255);
  requireRead(context, endpoint);
  const caller = await pull.access.visitor(context.req.headers.authorization, exchange.client);
  if (endpoint.kind === 'ping') return answerPing(context);
  if (endpoint.kind === 'upload') {
    throw new RegistryError('UNSUPPORTED', {
      message: 'this version of Cistern only mirrors, there are no uploads',
    });
  }

  const { signal, client } = exchange;
  const options: ReadOptions = {
    signal,
    caller,
    ...(client !== undefined && { client }),
    ...(mustCheck(context.req.headers['cache-control']) && { mustCheck: true }),
  };
  if (endpoint.kind === 'catalog') return answerCatalog(context, pull.catalog, endpoint, options, ns);

  const located = pull.directory.find(endpoint.name, ns, context.req.headers.host);
  exchange.upstream = located.upstream;
  if (ns !== undefined && isFitForHeader(ns)) context.set('OCI-Namespace', ns);
  requireRight(caller, `${located.upstream}/${located.repository}`);
  const request: PullRequest = { context, located, options, ns, query, nowMs: pull.now() };
  switch (endpoint.kind) {
    case 'manifest':
      return answerManifest(request, endpoint.reference);
    case 'blob':
      return answerBlob(request, endpoint.digest);
    case 'tags':
      return answerTags(request, endpoint);
    case 'referrers':
      return answerReferrers(request, endpoint);
  }
}

function answerPing(context: AppContext): void {
  context.status = 200;
  context.set('Content-Type', 'application/json');
  context.body = '{}';
}

/** RFC 9112 3.2: HTTP/1.1 without Host is a bad request. Node's own check would answer without a body. */
function requireHost(context: AppContext): void {
  const { req } = context;
  if (req.headers.host !== undefined || req.httpVersion === '1.0') return;
  throw new RegistryError('UNSUPPORTED', { status: 400, message: 'expected a Host header, got none' });
}

/** Decided by name alone, whatever there is: what a refusal tells nobody needs to hide. */
function requireRight(caller: Caller, canonicalName: string): void {
  if (caller.mayPull(canonicalName, 'public')) return;
  throw new RegistryError('DENIED', {
    message: `expected a caller who may pull ${canonicalName}, got another`,
  });
}

function requireRead(context: AppContext, endpoint: Endpoint): void {
  const { method } = context.req;
  if (method === 'GET' || method === 'HEAD') return;
  const isReadable = endpoint.kind !== 'upload';
  context.set('Allow', isReadable ? 'GET, HEAD' : ''); // RFC 9110 10.2.1: empty when there is none
  throw new RegistryError('UNSUPPORTED', {
    message: `expected GET or HEAD, got ${method}: this version of Cistern only mirrors, nothing can be pushed or deleted`,
  });
}
