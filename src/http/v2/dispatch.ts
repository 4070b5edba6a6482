/**
 * `/v2/` dispatched by kind: `oci/endpoint` reads method and URL, the directory finds the repository, its registry answers.
 * Writes are refused before their body is read: this version only mirrors.
 */
import type { Access } from '../../auth/access.ts';
import { type Endpoint, type ParsedTarget, parseEndpoint } from '../../oci/endpoint.ts';
import { RegistryError } from '../../oci/error.ts';
import type { Caller } from '../../registry/caller.ts';
import type { Directory } from '../../registry/directory.ts';
import type { ReadOptions, RepositoryCatalog } from '../../registry/registry.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { RegistryEventListener } from '../../telemetry/registry-events.ts';
import { askedFor, noteRepository } from '../events.ts';
import type { AppContext, PullRequest } from '../exchange.ts';
import { apiVersion, apiVersionHeader, isFitForHeader, mustCheck } from './headers.ts';
import { answerBlob } from './pull-blob.ts';
import { answerManifest } from './pull-manifest.ts';
import { answerCatalog, answerReferrers, answerTags } from './pull-pages.ts';

export interface DispatchOptions {
  readonly directory: Pick<Directory, 'find'>;
  readonly catalog: RepositoryCatalog;
  readonly access: Access;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Absent: none wants to hear of what happens. */
  readonly events: RegistryEventListener | undefined;
}

/** Metric labels. */
const labels: Readonly<Record<Exclude<Endpoint['kind'], 'unsupported'> | 'upload', Kind>> = {
  ping: 'ping',
  manifest: 'manifest',
  'manifest-put': 'manifest',
  'manifest-delete': 'manifest',
  blob: 'blob',
  'blob-delete': 'blob',
  upload: 'other',
  'upload-start': 'other',
  'upload-status': 'other',
  'upload-chunk': 'other',
  'upload-commit': 'other',
  'upload-cancel': 'other',
  tags: 'tags',
  referrers: 'referrers',
  catalog: 'catalog',
};

/** Answers a request whose target `isApiTarget`. */
export async function dispatch(context: AppContext, options: DispatchOptions): Promise<void> {
  const { exchange } = context.state;
  const { method = '', url = '', headers } = context.req;
  context.set(apiVersionHeader, apiVersion);
  requireHost(context);
  const target = parseEndpoint(method, url);
  const { endpoint, ns } = target;
  exchange.kind = labels[endpoint.kind === 'unsupported' ? endpoint.path : endpoint.kind];
  exchange.ns = ns?.slice(0, 255);
  exchange.asked = askedFor(method, endpoint);
  if (method !== 'GET' && method !== 'HEAD') throw refuseWrite(context, endpoint);
  const caller = await options.access.authenticate(headers.authorization, exchange.client);
  exchange.user = caller.user;
  switch (endpoint.kind) {
    case 'ping':
      return answerPing(context);
    case 'catalog':
      return answerCatalog(context, options.catalog, endpoint, readOptions(context, caller), ns);
    case 'manifest':
      return answerManifest(locate(context, options, caller, target, endpoint.name), endpoint.reference);
    case 'blob':
      return answerBlob(locate(context, options, caller, target, endpoint.name), endpoint.digest);
    case 'tags':
      return answerTags(locate(context, options, caller, target, endpoint.name), endpoint);
    case 'referrers':
      return answerReferrers(locate(context, options, caller, target, endpoint.name), endpoint);
    default:
      throw new RegistryError('UNSUPPORTED', {
        message: 'this version of Cistern only mirrors, there are no uploads',
      });
  }
}

/** Errors: DENIED; those of the directory. */
function locate(
  context: AppContext,
  { directory, now, events }: DispatchOptions,
  caller: Caller,
  { ns, query }: ParsedTarget,
  name: string,
): PullRequest {
  const located = directory.find(name, ns, context.req.headers.host);
  context.state.exchange.upstream = located.upstream;
  if (ns !== undefined && isFitForHeader(ns)) context.set('OCI-Namespace', ns);
  const canonicalName = `${located.upstream}/${located.repository}`;
  noteRepository(context.state.exchange, canonicalName);
  requirePull(caller, canonicalName);
  return { context, located, options: readOptions(context, caller), ns, query, nowMs: now(), events };
}

function readOptions(context: AppContext, caller: Caller): ReadOptions {
  const { signal, client, requestId } = context.state.exchange;
  return {
    signal,
    caller,
    requestId,
    ...(client !== undefined && { client }),
    ...(mustCheck(context.req.headers['cache-control']) && { mustCheck: true }),
  };
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
  throw new RegistryError('UNSUPPORTED', { status: 400, message: 'the request has no Host header' });
}

/** Decided by name alone, so a refusal does not tell whether the repository exists. */
function requirePull(caller: Caller, canonicalName: string): void {
  if (caller.mayPull(canonicalName, 'public')) return;
  throw new RegistryError('DENIED', { message: `pull access to ${canonicalName} denied` });
}

function refuseWrite(context: AppContext, endpoint: Endpoint): RegistryError {
  const path = endpoint.kind === 'unsupported' ? endpoint.path : endpoint.kind;
  context.set('Allow', path.startsWith('upload') ? '' : 'GET, HEAD'); // RFC 9110 10.2.1: empty when none is allowed
  return new RegistryError('UNSUPPORTED', {
    message: `${context.req.method} is not supported: this version of Cistern only mirrors, it takes no pushes and deletes`,
  });
}
