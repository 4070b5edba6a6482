/**
 * `/v2/` dispatched by kind: `oci/endpoint` reads method and URL, the directory finds the repository, its registry answers.
 * Rights are decided before anything is looked up in it, and a write that is refused is refused before its body is read.
 */
import { type Access, requireScope } from '../../auth/access.ts';
import { LoginRequired } from '../../auth/refusals.ts';
import { type Endpoint, type ParsedTarget, parseEndpoint } from '../../oci/endpoint.ts';
import { RegistryError } from '../../oci/error.ts';
import { canonicalNameOf, type Directory, type Located } from '../../registry/directory.ts';
import type { ReadOptions, RepositoryCatalog } from '../../registry/registry.ts';
import type { Kind } from '../../telemetry/observer.ts';
import type { AskedFor, RegistryEventListener } from '../../telemetry/registry-events.ts';
import type { AppContext, Exchange, PullRequest, PushRequest } from '../exchange.ts';
import type { Accel } from './accel.ts';
import { apiVersion, apiVersionHeader, isFitForHeader, mustCheck } from './headers.ts';
import { answerBlob } from './pull-blob.ts';
import { answerForeign } from './pull-foreign.ts';
import { answerManifest } from './pull-manifest.ts';
import { answerCatalog, answerReferrers, answerTags } from './pull-pages.ts';
import { answerUpload } from './push-blob.ts';
import { answerBlobDelete, answerManifestDelete, answerManifestPut } from './push-manifest.ts';
import {
  authenticate,
  callerWithin,
  type Rights,
  requireCatalog,
  requireKnown,
  requireRight,
  scopeOf,
} from './rights.ts';
import type { BlobSender } from './send-blob.ts';

export interface DispatchOptions {
  readonly directory: Pick<Directory, 'find' | 'hostedPatterns'>;
  readonly catalog: RepositoryCatalog;
  readonly access: Access;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Absent: none wants to hear of what happens. */
  readonly events: RegistryEventListener | undefined;
  /** Undefined: no proxy sends blobs by itself. */
  readonly accel: Accel | undefined;
  readonly sender: BlobSender;
}

/** Metric labels. */
const labels: Readonly<Record<Exclude<Endpoint['kind'], 'unsupported' | 'foreign'> | 'upload', Kind>> = {
  ping: 'ping',
  manifest: 'manifest',
  'manifest-put': 'manifest',
  'manifest-delete': 'manifest',
  blob: 'blob',
  'blob-delete': 'blob',
  upload: 'upload',
  'upload-start': 'upload',
  'upload-status': 'upload',
  'upload-chunk': 'upload',
  'upload-commit': 'upload',
  'upload-cancel': 'upload',
  tags: 'tags',
  referrers: 'referrers',
  catalog: 'catalog',
};

/** Answers a request whose target `isApiTarget`. */
export async function dispatch(context: AppContext, options: DispatchOptions): Promise<void> {
  const { exchange } = context.state;
  const { method = '', url = '' } = context.req;
  context.set(apiVersionHeader, apiVersion);
  requireHost(context);
  const target = parseEndpoint(method, url);
  const { endpoint, ns } = target;
  exchange.kind = labelOf(endpoint);
  exchange.ns = ns?.slice(0, 255);
  exchange.asked = askedFor(method, endpoint);
  const isRead = method === 'GET' || method === 'HEAD';
  if (endpoint.kind === 'unsupported' || (!isRead && options.directory.hostedPatterns.length === 0))
    throw refuseMethod(context, options, endpoint);
  const acceptsExpired = endpoint.kind.startsWith('upload-') && endpoint.kind !== 'upload-start';
  const caller = await authenticate(context, options.access, { acceptsExpired });
  switch (endpoint.kind) {
    case 'ping':
      requireKnown(caller);
      return answerPing(context);
    case 'catalog':
      requireCatalog(caller);
      return answerCatalog(context, options.catalog, endpoint, readOptions(context, caller), ns);
    case 'manifest':
      return answerManifest(locate(context, options, caller, target, endpoint.name), endpoint.reference);
    case 'blob':
      return answerBlob(
        locate(context, options, caller, target, endpoint.name),
        endpoint.digest,
        options.accel,
      );
    case 'foreign':
      return answerForeign(locate(context, options, caller, target, endpoint.name), endpoint);
    case 'tags':
      return answerTags(locate(context, options, caller, target, endpoint.name), endpoint);
    case 'referrers':
      return answerReferrers(locate(context, options, caller, target, endpoint.name), endpoint);
    case 'manifest-put':
      return answerManifestPut(locateWrite(context, options, caller, target, endpoint), endpoint.reference);
    case 'manifest-delete':
      return answerManifestDelete(
        locateWrite(context, options, caller, target, endpoint),
        endpoint.reference,
      );
    case 'blob-delete':
      return answerBlobDelete(locateWrite(context, options, caller, target, endpoint), endpoint.digest);
    default:
      if (options.directory.hostedPatterns.length === 0) throw refuseMethod(context, options, endpoint);
      return renewable(caller, () =>
        answerUpload(locateWrite(context, options, caller, target, endpoint), endpoint, name =>
          findSource(options, caller, target, name),
        ),
      );
  }
}

function labelOf(endpoint: Endpoint): Kind {
  if (endpoint.kind === 'foreign') return endpoint.of;
  return labels[endpoint.kind === 'unsupported' ? endpoint.path : endpoint.kind];
}

/** Only a live session of its user takes an expired token: for anything else the client needs another one. */
async function renewable(caller: Rights, answer: () => Promise<void>): Promise<void> {
  try {
    await answer();
  } catch (error) {
    const isGone = error instanceof RegistryError && error.code === 'BLOB_UPLOAD_UNKNOWN';
    if (!isGone || !caller.authenticated.isExpired) throw error;
    throw new LoginRequired('the token has expired', { reason: 'invalid_token' });
  }
}

/** Where a blob is mounted from. Undefined: the directory knows no such repository, or the token is not for it. */
function findSource(
  { directory }: DispatchOptions,
  { authenticated, context }: Rights,
  { ns }: ParsedTarget,
  name: string,
): Located | undefined {
  try {
    requireScope(authenticated, scopeOf(name, 'pull'));
    return directory.find(name, ns, context.req.headers.host);
  } catch (error) {
    if (error instanceof RegistryError) return undefined;
    throw error;
  }
}

/** Errors: those of `requireRight` and of the directory. */
function locate(
  context: AppContext,
  { directory, now, events, sender }: DispatchOptions,
  caller: Rights,
  { ns, query }: ParsedTarget,
  name: string,
): PullRequest {
  const located = directory.find(name, ns, context.req.headers.host);
  context.state.exchange.upstream = located.upstream;
  if (ns !== undefined && isFitForHeader(ns)) context.set('OCI-Namespace', ns);
  const canonicalName = canonicalNameOf(located);
  noteRepository(context.state.exchange, canonicalName);
  requireRight(caller, { action: 'pull', name, canonicalName });
  return { context, located, options: readOptions(context, caller), ns, query, nowMs: now(), events, sender };
}

/** Errors: as `locate`; DENIED for a name that isn't hosted; UNSUPPORTED for a delete where there are neither users nor rules. */
function locateWrite(
  context: AppContext,
  { directory, access, events }: DispatchOptions,
  caller: Rights,
  { ns, query }: ParsedTarget,
  { kind, name }: Extract<Endpoint, { readonly name: string }>,
): PushRequest {
  const { exchange } = context.state;
  const { upstream, repository, writer, deleter } = directory.find(name, ns, context.req.headers.host);
  exchange.upstream = upstream;
  if (ns !== undefined && isFitForHeader(ns)) context.set('OCI-Namespace', ns);
  const canonicalName = canonicalNameOf({ upstream, repository });
  noteRepository(exchange, canonicalName);
  const isDelete = kind === 'manifest-delete' || kind === 'blob-delete';
  if (isDelete && access.isOpen) {
    context.set('Allow', kind === 'manifest-delete' ? 'GET, HEAD, PUT' : 'GET, HEAD');
    throw new RegistryError('UNSUPPORTED', {
      message: 'deletes need a rule in access.rules that allows them; there are no rules here',
    });
  }
  if (writer === undefined || deleter === undefined) {
    throw new RegistryError('DENIED', {
      message: `${canonicalName} is mirrored, not hosted here; hosted are: ${directory.hostedPatterns.join(', ')}`,
    });
  }
  requireRight(caller, { action: isDelete ? 'delete' : 'push', name, canonicalName });
  const { authenticated } = caller;
  const isFromAnywhere = kind === 'upload-start' && !query.get('from'); // a mount from any repository, if it is one
  const options = {
    caller: isFromAnywhere ? callerWithin(authenticated) : authenticated.caller,
    signal: exchange.signal,
  };
  return { context, writer, deleter, repository, options, canonicalName, events, name, ns, query };
}

function readOptions(context: AppContext, { authenticated: { caller } }: Rights): ReadOptions {
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

function refuseMethod(
  context: AppContext,
  { directory }: DispatchOptions,
  endpoint: Endpoint,
): RegistryError {
  const path = endpoint.kind === 'unsupported' ? endpoint.path : endpoint.kind;
  const isHosting = directory.hostedPatterns.length > 0;
  context.set('Allow', allowedMethods(path, isHosting).join(', ')); // RFC 9110 10.2.1: empty when none is allowed
  const why = isHosting ? 'not on this path' : 'this mirror hosts no repositories, it only mirrors';
  return new RegistryError('UNSUPPORTED', { message: `${context.req.method} is not supported: ${why}` });
}

function allowedMethods(path: string, isHosting: boolean): readonly string[] {
  if (path.startsWith('upload')) return isHosting ? ['GET', 'POST', 'PATCH', 'PUT', 'DELETE'] : [];
  if (!isHosting) return ['GET', 'HEAD'];
  if (path.startsWith('manifest')) return ['GET', 'HEAD', 'PUT', 'DELETE'];
  return path.startsWith('blob') ? ['GET', 'HEAD', 'DELETE'] : ['GET', 'HEAD'];
}

function askedFor(method: string, endpoint: Endpoint): AskedFor {
  const wanted = method === 'GET' || method === 'HEAD' ? 'pull' : method === 'DELETE' ? 'delete' : 'push';
  return {
    wanted,
    ...('name' in endpoint && { repository: endpoint.name }),
    ...('reference' in endpoint && { reference: endpoint.reference }),
    ...('digest' in endpoint && { reference: endpoint.digest }),
  };
}

/** As soon as the repository was found: a refusal then names it as access rules do. */
function noteRepository(exchange: Exchange, canonicalName: string): void {
  if (exchange.asked !== undefined) exchange.asked = { ...exchange.asked, repository: canonicalName };
}
