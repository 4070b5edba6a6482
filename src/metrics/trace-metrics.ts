/** The metrics of traces (docs/metrics.md), in the mirror's registry. Only a mirror with `tracing` has them. */
import { Counter, type Registry } from 'prom-client';
import type { TraceObserver } from '../telemetry/observer.ts';

/** `failed`: the receiver was away, too slow, or has refused them. Spans that its queue had no room for are in neither. */
const results = ['sent', 'failed'] as const;

export class TraceMetrics implements TraceObserver {
  readonly #spans: Counter;

  constructor(registry: Registry) {
    this.#spans = new Counter({
      name: 'cistern_trace_spans_total',
      help: 'Spans that the receiver of traces has taken (sent), or not (failed).',
      labelNames: ['result'],
      registers: [registry],
    });
    for (const result of results) this.#spans.inc({ result }, 0);
  }

  /** After each batch, never on the path of a request. */
  spansExported(count: number, isSent: boolean): void {
    this.#spans.inc({ result: isSent ? 'sent' : 'failed' }, count);
  }
}
