/** The metrics of uploads (docs/metrics.md), in the mirror's registry. Only a mirror that hosts repositories has them. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { UploadObserver, UploadResult } from '../telemetry/observer.ts';

const results: readonly UploadResult[] = ['committed', 'mounted', 'cancelled', 'expired', 'failed'];

export class UploadMetrics implements UploadObserver {
  readonly #received: Counter;
  readonly #open: Gauge;
  readonly #ended: Counter;

  constructor(registry: Registry) {
    const registers = [registry];
    this.#received = new Counter({
      name: 'cistern_received_bytes_total',
      help: 'Body bytes of pushes received from clients.',
      registers,
    });
    this.#open = new Gauge({
      name: 'cistern_uploads_open',
      help: 'Upload sessions that are open.',
      registers,
    });
    this.#ended = new Counter({
      name: 'cistern_uploads_total',
      help: 'Uploads that have ended.',
      labelNames: ['result'],
      registers,
    });
    for (const result of results) this.#ended.inc({ result }, 0);
  }

  received(bytes: number): void {
    this.#received.inc(bytes);
  }

  uploadsOpen(count: number): void {
    this.#open.set(count);
  }

  uploadEnded(result: UploadResult): void {
    this.#ended.inc({ result });
  }
}
