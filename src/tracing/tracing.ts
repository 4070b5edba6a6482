/**
 * Traces of requests by OpenTelemetry: a span for each request of a client, and below it one for each request to an upstream that it caused.
 * Loaded only when `tracing` is configured. No request waits for a trace or fails with one.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage, RequestListener } from 'node:http';
import {
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  NodeTracerProvider,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from '@opentelemetry/sdk-trace-node';
import { settleWithin } from '../lib/wait.ts';
import { isApiTarget } from '../oci/endpoint.ts';
import { isPeerTarget } from '../registry/peer.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { RequestEnd, RequestTraces, TraceObserver } from '../telemetry/observer.ts';
import { openSpanExport } from './span-export.ts';
import { parseTraceParent } from './trace-context.ts';
import { UpstreamSpans } from './upstream-spans.ts';

export interface TracingOptions {
  /** See `SpanExportOptions`. */
  readonly endpoint: URL;
  /** Share of requests, 0 … 1. A client that sends a `traceparent` has decided. */
  readonly sample: number;
  readonly version: string;
  /** Names this process among several. */
  readonly instance: string;
  readonly observer: TraceObserver;
  readonly logger: Logger;
}

/** A client's request while it is handled, and afterwards for work that it has begun. */
interface TracedRequest {
  readonly span: Span;
  readonly context: Context;
  requestId: string | undefined;
}

const attributeLength = 512;
/** At the end, for what is not sent yet. */
const flushMs = 2000;

export class Tracing implements RequestTraces {
  readonly #provider: NodeTracerProvider;
  readonly #tracer: Tracer;
  readonly #active = new AsyncLocalStorage<TracedRequest>();
  readonly #requests = new WeakMap<object, TracedRequest>();
  readonly #upstreams: UpstreamSpans;

  constructor({ endpoint, sample, version, instance, observer, logger }: TracingOptions) {
    this.#provider = new NodeTracerProvider({
      resource: resourceFromAttributes({
        'service.name': 'cistern',
        'service.version': version,
        'service.instance.id': instance,
      }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sample) }),
      spanLimits: { attributeValueLengthLimit: attributeLength },
      spanProcessors: [openSpanExport({ endpoint, observer, logger, now: () => performance.now() })],
    });
    this.#tracer = this.#provider.getTracer('cistern', version); // of this provider: nothing is registered globally
    this.#upstreams = new UpstreamSpans({ tracer: this.#tracer, active: () => this.#active.getStore() });
  }

  /** Handles requests of registry clients, tokens and other nodes within a span. Health and metrics get none. */
  readonly wrap = (handle: RequestListener): RequestListener => {
    return (request, response) => {
      const traced = this.#begin(request);
      if (traced === undefined) handle(request, response);
      else this.#active.run(traced, () => handle(request, response));
    };
  };

  /** Its id is known. */
  began(request: object, requestId: string): void {
    const traced = this.#requests.get(request);
    if (traced === undefined) return;
    traced.requestId = requestId;
    traced.span.setAttribute('cistern.request_id', requestId);
  }

  /** To be called once, when the response has closed. */
  ended(request: object, { upstream, kind, method, status, outcome, bytes }: RequestEnd): void {
    const span = this.#requests.get(request)?.span;
    if (span === undefined) return;
    span.updateName(`${method} ${kind}`);
    span.setAttributes({
      'http.response.status_code': status,
      'http.response.body.size': bytes,
      'cistern.upstream': upstream,
      'cistern.outcome': outcome,
    });
    if (status >= 500 || status === 499) span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  }

  /** What is not sent within two seconds is lost. Idempotent. Never throws. */
  async close(): Promise<void> {
    this.#upstreams.close();
    await settleWithin(this.#provider.shutdown(), flushMs);
  }

  #begin(request: IncomingMessage): TracedRequest | undefined {
    const { method = '', url = '', headers } = request;
    if (!isApiTarget(url) && !isPeerTarget(url) && !url.startsWith('/token')) return undefined;
    const { traceparent, 'user-agent': userAgent } = headers;
    const remote = parseTraceParent(typeof traceparent === 'string' ? traceparent : undefined);
    const parent = remote === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, remote);
    const [path = ''] = url.split('?', 1);
    const span = this.#tracer.startSpan(
      method,
      {
        kind: SpanKind.SERVER,
        attributes: {
          'http.request.method': method,
          'url.path': path,
          ...(userAgent !== undefined && { 'user_agent.original': userAgent }),
        },
      },
      parent,
    );
    const traced = { span, context: trace.setSpan(parent, span), requestId: undefined };
    this.#requests.set(request, traced);
    return traced;
  }
}
