/**
 * What the fake upstream answers when nothing is wrong, for its three roles (registry, storage, token endpoint), and the
 * place where authentication, faults and the pull quota come in, in this order.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { breakOff, type Exchange, sendAnswer } from './body-sender.ts';
import { asContent, bytesBlob } from './content.ts';
import type { FakeHost } from './fake-host.ts';
import type { Fault, FaultTable } from './faults.ts';
import type { PullQuota } from './rate-limit.ts';
import type { RepositoryContent } from './repository-content.ts';
import type { HostRole, RequestLog } from './request-log.ts';
import type { SignedUrls } from './signed-urls.ts';
import { contentAnswer, emptyAnswer, rangedAnswer, type UpstreamAnswer } from './upstream-answer.ts';
import type { Authenticator, TokenIssuer } from './upstream-auth.ts';
import { referrersAnswer, tagsAnswer } from './upstream-pages.ts';
import { openEntry, parseUpstreamRequest, type UpstreamRequest } from './upstream-request.ts';

export interface Quirks {
  /** Range is ignored: always 200 and everything. */
  readonly noRange?: boolean;
  /** HEAD of a manifest says no Docker-Content-Digest. */
  readonly headWithoutDigest?: boolean;
  /** No answer has a Content-Length. */
  readonly chunked?: boolean;
  /** tags/list ignores n and sends no Link. */
  readonly linklessTags?: boolean;
  /** At most so many tags in a page, whatever n is. */
  readonly maxTagsPage?: number;
  /** The referrers API is 404. */
  readonly noReferrers?: boolean;
  /** HEAD of a blob is 405. */
  readonly noBlobHead?: boolean;
}

export interface HandlerParts {
  readonly content: RepositoryContent;
  readonly faults: FaultTable;
  readonly log: RequestLog;
  readonly quirks: Quirks;
  readonly authenticator: Authenticator | undefined;
  readonly tokens: TokenIssuer | undefined;
  readonly quota: PullQuota | undefined;
  /** Where blobs are redirected to; undefined: they aren't. */
  readonly redirect: { readonly urls: SignedUrls; readonly status: number; origin(): string } | undefined;
}

export class UpstreamHandler {
  readonly #parts: HandlerParts;

  constructor(parts: HandlerParts) {
    this.#parts = parts;
  }

  async handle(
    request: IncomingMessage,
    response: ServerResponse,
    host: FakeHost,
    hostRole: HostRole,
  ): Promise<void> {
    const { log, quirks, faults } = this.#parts;
    const parsed = parseUpstreamRequest(request);
    const role = parsed.kind === 'token' ? 'token' : hostRole;
    const entry = openEntry(request, parsed, role);
    log.add(entry);
    const exchange = { request, response, host, entry, log, chunked: quirks.chunked === true };
    response.on('error', () => {}); // the peer may leave at any time
    request.resume();
    await host.untilThawed(request.socket);
    const challenge =
      role === 'registry'
        ? this.#parts.authenticator?.check(parsed, request.headers.authorization)
        : undefined;
    if (challenge !== undefined) {
      return sendAnswer(
        exchange,
        registryError(401, 'authentication required', { 'WWW-Authenticate': challenge }),
      );
    }
    const redirected = role === 'registry' && parsed.kind === 'blob' && this.#parts.redirect !== undefined;
    const fault =
      faults.take({ ...parsed, host: role, hasBody: parsed.method === 'GET' && !redirected }) ?? {};
    return this.#answer(exchange, parsed, role, fault);
  }

  async #answer(exchange: Exchange, parsed: UpstreamRequest, role: HostRole, fault: Fault): Promise<void> {
    if (fault.delayMs !== undefined) await new Promise(resolve => setTimeout(resolve, fault.delayMs));
    if (fault.headersGate !== undefined) await fault.headersGate.pass();
    if (fault.hangUp !== undefined) return breakOff(exchange, fault.hangUp);
    if (fault.status !== undefined) {
      const body = fault.statusBody;
      const wrong =
        body === undefined ? registryError(fault.status, 'injected') : textAnswer(fault.status, body);
      return sendAnswer(exchange, wrong, fault);
    }
    const { request } = exchange;
    const range =
      fault.ignoreRange === true || this.#parts.quirks.noRange === true ? undefined : request.headers.range;
    const { authorization } = request.headers;
    if (role === 'token') return sendAnswer(exchange, this.#tokenAnswer(parsed, authorization), fault);
    if (role === 'storage')
      return sendAnswer(exchange, this.#storageAnswer(parsed, authorization, range), fault);
    return sendAnswer(exchange, this.#registryAnswer(parsed, range), fault);
  }

  #registryAnswer(parsed: UpstreamRequest, range: string | undefined): UpstreamAnswer {
    const { kind, method, repository } = parsed;
    if (method !== 'GET' && method !== 'HEAD') return registryError(405, 'unsupported');
    if (kind === 'ping') return textAnswer(200, '{}', { 'Content-Type': 'application/json' });
    if (repository === undefined) return registryError(404, 'unknown path');
    if (kind === 'manifest') return this.#manifestAnswer(parsed, repository);
    if (kind === 'blob') return this.#blobAnswer(parsed, repository, range);
    if (!this.#parts.content.has(repository)) return registryError(404, 'repository name not known');
    const { quirks, content } = this.#parts;
    if (kind === 'tags') {
      const { linklessTags = false, maxTagsPage = 1000 } = quirks;
      return tagsAnswer(content, repository, parsed, { linkless: linklessTags, maxPage: maxTagsPage });
    }
    if (quirks.noReferrers === true) return textAnswer(404, '404 page not found');
    return referrersAnswer(content, repository, parsed);
  }

  #manifestAnswer({ method, reference = '' }: UpstreamRequest, repository: string): UpstreamAnswer {
    const { quota, content, quirks } = this.#parts;
    if (quota?.spend(method) === false) {
      return registryError(429, 'You have reached your pull rate limit.', quota.refusalHeaders());
    }
    const manifest = content.manifest(repository, reference);
    if (manifest === undefined) return registryError(404, 'manifest unknown', quota?.headers());
    const withDigest = method === 'GET' || quirks.headWithoutDigest !== true;
    return contentAnswer(
      200,
      {
        'Content-Type': manifest.mediaType,
        ...(withDigest && { 'Docker-Content-Digest': manifest.digest, ETag: `"${manifest.digest}"` }),
        ...quota?.headers(),
      },
      bytesBlob(manifest.bytes),
    );
  }

  #blobAnswer(
    { method, reference = '' }: UpstreamRequest,
    repository: string,
    range: string | undefined,
  ): UpstreamAnswer {
    const { content, redirect, quirks } = this.#parts;
    const blob = content.blob(repository, reference);
    if (blob === undefined) return registryError(404, 'blob unknown to registry');
    if (method === 'HEAD' && quirks.noBlobHead === true) return registryError(405, 'unsupported');
    if (redirect !== undefined) {
      const location = `${redirect.origin()}${redirect.urls.sign(method, repository, reference, blob)}`;
      return emptyAnswer(redirect.status, { Location: location, 'Docker-Content-Digest': reference });
    }
    const ranges = quirks.noRange === true ? {} : { 'Accept-Ranges': 'bytes' };
    const headers = {
      'Content-Type': 'application/octet-stream',
      'Docker-Content-Digest': reference,
      ...ranges,
    };
    return rangedAnswer(method === 'GET' ? range : undefined, headers, blob);
  }

  #storageAnswer(
    { method, query }: UpstreamRequest,
    authorization: string | undefined,
    range: string | undefined,
  ): UpstreamAnswer {
    const content = this.#parts.redirect?.urls.open(method, query, authorization) ?? 403;
    if (typeof content === 'number') {
      const code = content === 400 ? 'InvalidArgument' : 'AccessDenied';
      return textAnswer(content, `<Error><Code>${code}</Code></Error>`, {
        'Content-Type': 'application/xml',
      });
    }
    return rangedAnswer(range, { 'Content-Type': 'binary/octet-stream', 'Accept-Ranges': 'bytes' }, content);
  }

  #tokenAnswer({ query }: UpstreamRequest, authorization: string | undefined): UpstreamAnswer {
    const issued = this.#parts.tokens?.issue(query, authorization) ?? { status: 404, body: {} };
    return textAnswer(issued.status, JSON.stringify(issued.body), { 'Content-Type': 'application/json' });
  }
}

const codes: Readonly<Record<number, string>> = {
  401: 'UNAUTHORIZED',
  403: 'DENIED',
  404: 'UNKNOWN',
  429: 'TOOMANYREQUESTS',
};

function registryError(
  status: number,
  message: string,
  headers: Record<string, string> = {},
): UpstreamAnswer {
  const body = JSON.stringify({ errors: [{ code: codes[status] ?? 'UNKNOWN', message }] });
  return textAnswer(status, body, { 'Content-Type': 'application/json', ...headers });
}

function textAnswer(status: number, body: string, headers: Record<string, string> = {}): UpstreamAnswer {
  return contentAnswer(status, headers, asContent(body));
}
