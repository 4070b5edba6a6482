/**
 * Where finished spans go: a bounded queue, sent to the receiver now and then. A receiver that is slow, away or refuses costs spans, and
 * never a request: what doesn't fit is dropped, and one line a minute says why.
 */
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace-node';
import type { Logger } from '../telemetry/logger.ts';
import type { TraceObserver } from '../telemetry/observer.ts';

export interface SpanExportOptions {
  /** Of OTLP over HTTP; `/v1/traces` is added where it has no path. */
  readonly endpoint: URL;
  readonly observer: TraceObserver;
  readonly logger: Logger;
  /** Milliseconds, monotonic. */
  now(): number;
}

const maxQueued = 2048;
const maxBatch = 512;
const everyMs = 1000;
const timeoutMs = 5000;
const warnEveryMs = 60_000;

export function openSpanExport(options: SpanExportOptions): BatchSpanProcessor {
  return new BatchSpanProcessor(new ReportedExporter(options), {
    maxQueueSize: maxQueued,
    maxExportBatchSize: maxBatch,
    scheduledDelayMillis: everyMs,
    exportTimeoutMillis: timeoutMs,
  });
}

type Done = Parameters<SpanExporter['export']>[1];

/** Counts what arrives and what doesn't. */
class ReportedExporter implements SpanExporter {
  readonly #exporter: OTLPTraceExporter;
  readonly #options: SpanExportOptions;
  #warnedMs = Number.NEGATIVE_INFINITY;

  constructor(options: SpanExportOptions) {
    this.#options = options;
    const url = new URL(options.endpoint);
    if (url.pathname === '/') url.pathname = '/v1/traces';
    this.#exporter = new OTLPTraceExporter({ url: url.href, timeoutMillis: timeoutMs, concurrencyLimit: 1 });
  }

  export(spans: ReadableSpan[], done: Done): void {
    this.#exporter.export(spans, result => {
      const isSent = result.code === 0;
      this.#options.observer.spansExported(spans.length, isSent);
      if (!isSent) this.#warn(result.error);
      done(result);
    });
  }

  forceFlush(): Promise<void> {
    return this.#exporter.forceFlush();
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown();
  }

  #warn(error: Error | undefined): void {
    const { endpoint, logger, now } = this.#options;
    if (now() - this.#warnedMs < warnEveryMs) return;
    this.#warnedMs = now();
    logger.warn('traces cannot be sent', { receiver: endpoint.host, reason: error?.message });
  }
}
