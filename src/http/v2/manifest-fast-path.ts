/**
 * Manifests that a registry can give at once are answered before Koa makes a context for them: of the requests of a farm
 * of nodes most are these. The answer is the one of `pull-manifest.ts`, logged and counted as any other. Only plain
 * requests are taken (GET or HEAD without credentials, conditions or a body); everything else, and whatever has to be
 * waited for or refused, is left to the application.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Access } from '../../auth/access.ts';
import { parseEndpoint } from '../../oci/endpoint.ts';
import type { Reference } from '../../oci/name.ts';
import type { Directory, Located } from '../../registry/directory.ts';
import type { ManifestAnswer } from '../../registry/registry.ts';
import type { AccessLog } from '../access-log.ts';
import { apiVersion, apiVersionHeader, digestHeader, isFitForHeader } from './answer-headers.ts';
import { formatEntityTag } from './conditional.ts';

export interface ManifestFastPathOptions {
  readonly directory: Pick<Directory, 'find'>;
  readonly access: Pick<Access, 'stranger'>;
  readonly log: AccessLog;
}

/** What a request target means to a client that knows us under one name. It doesn't change while we run. */
interface Target extends Located {
  readonly reference: Reference;
  readonly ns: string | undefined;
  readonly canonicalName: string;
}

interface Found {
  readonly target: Target;
  readonly answer: ManifestAnswer;
}

/** Those that were answered, so nobody can fill it with names that he makes up; when it is full it starts anew. */
const maxTargets = 4096;
/** A query may hold anything, and is part of what is remembered. */
const maxKeyLength = 1024;

export class ManifestFastPath {
  readonly #options: ManifestFastPathOptions;
  readonly #targets = new Map<string, Target>();

  constructor(options: ManifestFastPathOptions) {
    this.#options = options;
  }

  /** True: answered. False: nothing has happened. */
  answer(request: IncomingMessage, response: ServerResponse): boolean {
    if (!isPlain(request) || response.destroyed || response.hasHeader('Connection')) return false;
    const address = this.#options.log.clientAddress(request);
    const found = this.#findOrPass(request, address);
    if (found === undefined) return false;
    const { target, answer } = found;
    const exchange = this.#options.log.open(request, response, address);
    exchange.kind = 'manifest';
    exchange.ns = target.ns?.slice(0, 255);
    exchange.upstream = target.upstream;
    exchange.record(answer);
    const { digest, mediaType, size } = answer.descriptor;
    const fields = [apiVersionHeader, apiVersion, digestHeader, digest, 'ETag', formatEntityTag(digest)];
    if (target.ns !== undefined && isFitForHeader(target.ns)) fields.push('OCI-Namespace', target.ns);
    fields.push('Content-Type', mediaType, 'Content-Length', String(size));
    response.writeHead(200, fields);
    if (request.method === 'GET') {
      exchange.sent(size);
      response.end(answer.bytes);
    } else {
      response.end();
    }
    return true;
  }

  #findOrPass(request: IncomingMessage, address: string | undefined): Found | undefined {
    try {
      return this.#find(request, address);
    } catch {
      return undefined; // the application will meet the same, and make an answer of it
    }
  }

  #find({ url = '', headers }: IncomingMessage, address: string | undefined): Found | undefined {
    const key = `${headers.host} ${url}`;
    const target = this.#targets.get(key) ?? this.#read(url, headers.host);
    if (target === undefined) return undefined;
    const { registry, repository, reference, canonicalName } = target;
    if (!this.#options.access.stranger(address).mayPull(canonicalName, 'public')) return undefined;
    const answer = registry.manifestAtOnce?.(repository, reference);
    if (answer === undefined || answer.stale !== undefined || !isFitForHeader(answer.descriptor.mediaType)) {
      return undefined;
    }
    this.#remember(key, target);
    return { target, answer };
  }

  /** Undefined: no manifest. Errors: those of `parseEndpoint` and of the directory. */
  #read(url: string, host: string | undefined): Target | undefined {
    const { endpoint, ns } = parseEndpoint(url);
    if (endpoint.kind !== 'manifest') return undefined;
    const located = this.#options.directory.find(endpoint.name, ns, host);
    const canonicalName = `${located.upstream}/${located.repository}`;
    return { ...located, reference: endpoint.reference, ns, canonicalName };
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
    headers.authorization === undefined &&
    headers['if-none-match'] === undefined &&
    headers['cache-control'] === undefined &&
    headers['content-length'] === undefined &&
    headers['transfer-encoding'] === undefined &&
    headers.expect === undefined
  );
}
