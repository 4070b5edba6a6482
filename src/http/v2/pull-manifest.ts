/**
 * GET and HEAD of a manifest (OCI distribution-spec end-3): bytes and media type as the registry has them, never chosen by
 * `Accept`. Most requests of a cluster are for manifests in memory; `HotManifests` answers those without a Koa context.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Access } from '../../auth/access.ts';
import { doesInclude } from '../../auth/tokens/scope.ts';
import type { Digest } from '../../oci/digest.ts';
import { parseEndpoint } from '../../oci/endpoint.ts';
import type { Descriptor } from '../../oci/manifest.ts';
import { fitMediaType } from '../../oci/media-type.ts';
import type { Reference } from '../../oci/name.ts';
import { canonicalNameOf, type Directory, type Located } from '../../registry/directory.ts';
import type { ManifestAnswer } from '../../registry/registry.ts';
import type { AskedFor, RegistryEventListener } from '../../telemetry/registry-events.ts';
import { originOf } from '../events.ts';
import {
  type AccessLog,
  type AppContext,
  type Exchange,
  type PullRequest,
  requestIdHeader,
} from '../exchange.ts';
import {
  apiVersion,
  apiVersionHeader,
  digestHeader,
  formatEntityTag,
  isFitForHeader,
  isNotModified,
  setContentNames,
  setFreshness,
} from './headers.ts';
import { scopeOf } from './rights.ts';

/** HEAD asks for the descriptor alone, so that it costs an upstream no counted pull. */
export async function answerManifest(pull: PullRequest, reference: Reference): Promise<void> {
  const { context, located, options, nowMs } = pull;
  const { registry, repository } = located;
  if (context.req.method === 'HEAD') {
    const answer = await registry.resolve(repository, reference, options);
    setFreshness(context, answer, nowMs);
    if (!setHead(context, answer.descriptor)) return;
    context.set('Content-Length', String(answer.descriptor.size));
    return;
  }
  const answer = await registry.manifest(repository, reference, options);
  setFreshness(context, answer, nowMs);
  if (!setHead(context, answer.descriptor)) return;
  context.body = answer.bytes;
  context.state.exchange.manifest = answer.descriptor.digest;
  if (pull.events?.wantsPulls !== true) return;
  const origin = originOf(context.req, context.state.exchange);
  const canonicalName = canonicalNameOf(located);
  const { descriptor } = answer;
  pull.events.happened({ type: 'manifest-pulled', origin, repository: canonicalName, reference, descriptor });
}

/** True: 200, the content is wanted. False: 304. */
function setHead(context: AppContext, descriptor: Descriptor): boolean {
  setContentNames(context, descriptor.digest);
  if (isNotModified(context.req.headers['if-none-match'], descriptor.digest)) {
    context.status = 304;
    return false;
  }
  context.status = 200;
  context.set('Content-Type', fitMediaType(descriptor.mediaType));
  return true;
}

export interface HotManifestsOptions {
  readonly directory: Pick<Directory, 'find'>;
  readonly access: Pick<Access, 'anonymous' | 'authenticateAtOnce'>;
  readonly log: AccessLog;
  /** Absent: none wants to hear of pulls. */
  readonly events: RegistryEventListener | undefined;
}

/** What a request target means to a client that calls this mirror by one name. But for `head` it never changes while the mirror runs. */
interface Target extends Located {
  readonly reference: Reference;
  readonly ns: string | undefined;
  readonly canonicalName: string;
  /** As the client spells it, which is what the scopes of a token are about. */
  readonly name: string;
  readonly asked: AskedFor;
  /** Of its last answer. */
  head?: { readonly digest: Digest; readonly mediaType: string; readonly fields: readonly string[] };
}

interface Found {
  readonly target: Target;
  readonly user: string | undefined;
  readonly answer: ManifestAnswer;
}

/** Only answered targets are kept, so made-up names cannot fill the map. A full map is cleared. */
const maxTargets = 4096;
/** In characters. A longer target is looked up each time: its query may hold anything. */
const maxKeyLength = 1024;

/**
 * Answers a manifest that the registry has at hand as `answerManifest` would, logged and counted alike. Takes plain
 * requests only (GET or HEAD, without credentials or with a token that is remembered, without conditions or a body); everything else is left to the application.
 */
export class HotManifests {
  readonly #options: HotManifestsOptions;
  readonly #targets = new Map<string, Target>();

  constructor(options: HotManifestsOptions) {
    this.#options = options;
  }

  /** True: answered. False: nothing has happened. */
  answer(request: IncomingMessage, response: ServerResponse): boolean {
    if (!isPlain(request) || response.destroyed || response.hasHeader('Connection')) return false;
    const { log } = this.#options;
    const address = log.clientAddress(request);
    const found = this.#findOrPass(request, address);
    if (found === undefined) return false;
    const { target, user, answer } = found;
    const exchange = log.open(request, response, address);
    exchange.kind = 'manifest';
    exchange.user = user;
    exchange.ns = target.ns?.slice(0, 255);
    exchange.upstream = target.upstream;
    exchange.asked = target.asked;
    exchange.record(answer);
    const { digest, size } = answer.descriptor;
    response.writeHead(200, [
      ...this.#headOf(target, answer.descriptor),
      requestIdHeader,
      exchange.requestId,
    ]);
    if (request.method === 'GET') {
      exchange.sent(size);
      exchange.manifest = digest;
      response.end(answer.bytes);
      this.#tell(request, exchange, found);
    } else {
      response.end();
    }
    return true;
  }

  /** Names and values, but for those of this request alone. The target keeps them until it leads to another manifest. */
  #headOf(target: Target, descriptor: Descriptor): readonly string[] {
    const { digest, mediaType, size } = descriptor;
    if (target.head?.digest === digest && target.head.mediaType === mediaType) return target.head.fields;
    const fields = [apiVersionHeader, apiVersion, digestHeader, digest, 'ETag', formatEntityTag(digest)];
    if (target.ns !== undefined && isFitForHeader(target.ns)) fields.push('OCI-Namespace', target.ns);
    fields.push('Content-Type', mediaType, 'Content-Length', String(size));
    target.head = { digest, mediaType, fields };
    return fields;
  }

  #tell(request: IncomingMessage, exchange: Exchange, { target, answer }: Found): void {
    const { events } = this.#options;
    if (events?.wantsPulls !== true) return;
    const { canonicalName: repository, reference } = target;
    const { descriptor } = answer;
    const origin = originOf(request, exchange);
    events.happened({ type: 'manifest-pulled', origin, repository, reference, descriptor });
  }

  #findOrPass(request: IncomingMessage, address: string | undefined): Found | undefined {
    try {
      return this.#find(request, address);
    } catch {
      return undefined; // the application will meet the same error and answer it
    }
  }

  #find(request: IncomingMessage, address: string | undefined): Found | undefined {
    const { method, url = '', headers } = request;
    const { access, log } = this.#options;
    const connection = log.connectionOf(request);
    const authenticated = access.authenticateAtOnce(headers.authorization, address, connection);
    if (authenticated === undefined) return undefined;
    const { caller, scopes } = authenticated;
    const key = `${headers.host} ${url}`;
    const target = this.#targets.get(key) ?? this.#read(url, headers.host);
    if (target === undefined) return undefined;
    const { registry, repository, reference, canonicalName, name } = target;
    if (!caller.mayPull(canonicalName, 'public')) return undefined;
    if (scopes !== undefined && !doesInclude(scopes, scopeOf(name, 'pull'))) return undefined;
    const answer = registry.manifestAtOnce?.(repository, reference, method === 'HEAD' ? 'HEAD' : 'GET');
    if (answer === undefined || answer.stale !== undefined || !isFitForHeader(answer.descriptor.mediaType)) {
      return undefined;
    }
    this.#remember(key, target);
    return { target, user: caller.user, answer };
  }

  /** Undefined: no manifest. Errors: those of `parseEndpoint` and of the directory. */
  #read(url: string, host: string | undefined): Target | undefined {
    const { endpoint, ns } = parseEndpoint('GET', url);
    if (endpoint.kind !== 'manifest') return undefined;
    const { name, reference } = endpoint;
    const located = this.#options.directory.find(name, ns, host);
    const canonicalName = canonicalNameOf(located);
    const asked: AskedFor = { wanted: 'pull', repository: canonicalName, reference };
    return { ...located, reference, ns, canonicalName, name, asked };
  }

  #remember(key: string, target: Target): void {
    if (key.length > maxKeyLength) return;
    if (this.#targets.size >= maxTargets) this.#targets.clear();
    this.#targets.set(key, target);
  }
}

function isPlain({ method, url = '', headers }: IncomingMessage): boolean {
  return (
    (method === 'GET' || method === 'HEAD') &&
    url.includes('/manifests/') &&
    headers.host !== undefined &&
    headers['if-none-match'] === undefined &&
    headers['cache-control'] === undefined &&
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined &&
    headers.expect === undefined
  );
}
