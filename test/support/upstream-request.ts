/**
 * What a request to the fake upstream asks for. A parser of its own, on purpose not the product's: two that share a
 * mistake would agree.
 */
import type { IncomingMessage } from 'node:http';
import type { HostRole, OpenEntry, RequestKind } from './request-log.ts';

export interface UpstreamRequest {
  readonly kind: RequestKind;
  readonly method: string;
  readonly repository?: string;
  readonly reference?: string;
  readonly query: URLSearchParams;
}

const routes: readonly (readonly [RequestKind, RegExp])[] = [
  ['ping', /^\/v2\/?$/],
  ['token', /^\/token$/],
  ['manifest', /^\/v2\/(.+)\/manifests\/([^/]+)$/],
  ['blob', /^\/v2\/(.+)\/blobs\/([^/]+:[^/]+)$/],
  ['tags', /^\/v2\/(.+)\/tags\/list$/],
  ['referrers', /^\/v2\/(.+)\/referrers\/([^/]+)$/],
  // Made by `SignedUrls`.
  ['blob', /^\/storage\/(.+)\/([^/]+:[^/]+)$/],
];

export function parseUpstreamRequest(request: IncomingMessage): UpstreamRequest {
  const [path = '', query = ''] = (request.url ?? '').split('?', 2);
  const method = request.method ?? '';
  for (const [kind, pattern] of routes) {
    const found = pattern.exec(path);
    if (found === null) continue;
    const [, repository, reference] = found;
    return {
      ...{ kind, method, query: new URLSearchParams(query) },
      ...(repository !== undefined && { repository }),
      ...(reference !== undefined && { reference }),
    };
  }
  return { kind: 'other', method, query: new URLSearchParams(query) };
}

export function openEntry(request: IncomingMessage, parsed: UpstreamRequest, host: HostRole): OpenEntry {
  const { range } = request.headers;
  return {
    ...{ host, kind: parsed.kind, method: parsed.method, path: request.url ?? '' },
    ...(parsed.repository !== undefined && { repository: parsed.repository }),
    ...(parsed.reference !== undefined && { reference: parsed.reference }),
    ...(range !== undefined && { range }),
    authorization: authorizationKind(request.headers.authorization),
    headers: { ...request.headers },
    status: 0,
    bodyBytesSent: 0,
  };
}

function authorizationKind(header: string | undefined): OpenEntry['authorization'] {
  if (header === undefined) return 'none';
  const scheme = header.split(' ', 1)[0]?.toLowerCase();
  return scheme === 'basic' || scheme === 'bearer' ? scheme : 'other';
}
