/**
 * A span for each request to an upstream, a token realm, a redirect's target or another node, below the request of the client that caused
 * it. The HTTP client tells of its requests by itself (`node:diagnostics_channel`), so without traces nothing of this is on any path.
 */
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { type Context, type Span, SpanKind, SpanStatusCode, type Tracer } from '@opentelemetry/api';
import { isApiTarget, parseEndpoint } from '../oci/endpoint.ts';
import { RegistryError } from '../oci/error.ts';
import { isPeerTarget } from '../registry/peer.ts';
import { formatTraceParent, isOwnNetwork } from './trace-context.ts';

export interface UpstreamSpansOptions {
  readonly tracer: Tracer;
  /** Of the client's request that is being handled; undefined: of none, and nothing is traced. */
  active(): { readonly context: Context; readonly requestId: string | undefined } | undefined;
}

/** As undici publishes it. */
interface SentRequest {
  readonly origin?: string | URL | null;
  readonly method?: string;
  readonly path?: string;
  addHeader?(name: string, value: string): unknown;
}

const maxPathLength = 512;

export class UpstreamSpans {
  readonly #options: UpstreamSpansOptions;
  readonly #spans = new WeakMap<object, Span>();
  readonly #listeners: ReadonlyMap<string, (message: unknown) => void> = new Map([
    ['undici:request:create', message => this.#began(message)],
    ['undici:request:headers', message => this.#answered(message)],
    ['undici:request:trailers', message => this.#ended(message)],
    ['undici:request:error', message => this.#failed(message)],
  ]);

  /** Listens from now on. */
  constructor(options: UpstreamSpansOptions) {
    this.#options = options;
    for (const [name, listener] of this.#listeners) subscribe(name, listener);
  }

  /** Idempotent. */
  close(): void {
    for (const [name, listener] of this.#listeners) unsubscribe(name, listener);
  }

  #began(message: unknown): void {
    const active = this.#options.active();
    const request = requestOf(message);
    if (active === undefined || request === undefined || request.method === 'CONNECT') return;
    const url = urlOf(request);
    if (url === undefined) return;
    const kind = kindOf(request.method ?? '', url);
    const span = this.#options.tracer.startSpan(
      `${request.method} ${kind}`,
      {
        kind: SpanKind.CLIENT,
        attributes: {
          'http.request.method': request.method ?? '',
          'server.address': url.hostname,
          'server.port': Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
          'url.path': url.pathname.slice(0, maxPathLength), // a query may hold a signature
          ...(active.requestId !== undefined && { 'cistern.request_id': active.requestId }),
        },
      },
      active.context,
    );
    this.#spans.set(request, span);
    // By the path alone a redirect could pass for a node: so its host must be of the own network in either case.
    if (isOwnNetwork(url.hostname)) request.addHeader?.('traceparent', formatTraceParent(span.spanContext()));
  }

  #answered(message: unknown): void {
    const status = Number(field(field(message, 'response'), 'statusCode'));
    const span = this.#spanOf(message);
    span?.setAttribute('http.response.status_code', status);
    if (status >= 400) span?.setStatus({ code: SpanStatusCode.ERROR });
  }

  #ended(message: unknown): void {
    this.#spanOf(message)?.end();
  }

  /** Before the answer, or in its body. The name alone: a message may hold what was sent. */
  #failed(message: unknown): void {
    const error = field(message, 'error');
    const span = this.#spanOf(message);
    const code = field(error, 'code') ?? field(error, 'name');
    span?.setAttribute('error.type', typeof code === 'string' ? code : 'error');
    span?.setStatus({ code: SpanStatusCode.ERROR });
    span?.end();
  }

  #spanOf(message: unknown): Span | undefined {
    const request = requestOf(message);
    return request && this.#spans.get(request);
  }
}

function requestOf(message: unknown): SentRequest | undefined {
  const request = field(message, 'request');
  return typeof request === 'object' && request !== null ? request : undefined;
}

/** A proxy that is not tunnelled through gets the whole URL as path. */
function urlOf({ origin, path = '/' }: SentRequest): URL | undefined {
  const text = /^https?:\/\//.test(path) ? path : `${origin}${path}`;
  return URL.canParse(text) ? new URL(text) : undefined;
}

/** `manifest`, `blob`, … of a registry or another node; `other`: a token, or what a redirect led to. */
function kindOf(method: string, { pathname, search }: URL): string {
  if (isPeerTarget(pathname)) return 'peer';
  if (!isApiTarget(pathname)) return 'other';
  try {
    return parseEndpoint(method, `${pathname}${search}`).endpoint.kind;
  } catch (error) {
    if (error instanceof RegistryError) return 'other';
    throw error;
  }
}

function field(value: unknown, key: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
}
