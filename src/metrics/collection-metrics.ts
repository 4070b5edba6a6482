/** The metrics of what is hosted and of its collection (docs/metrics.md), in the mirror's registry. Only a mirror that hosts repositories has them. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { CollectedKind, CollectionObserver } from '../telemetry/observer.ts';

export interface HostedSample {
  /** Each linked digest once. */
  readonly bytes: number;
  readonly repositories: number;
}

const kinds: readonly CollectedKind[] = ['tag', 'manifest', 'link', 'blob'];

export class CollectionMetrics implements CollectionObserver {
  readonly #removed: Counter;
  readonly #freed: Counter;
  readonly #last: Gauge;

  /** `sample` is asked at each scrape. */
  constructor(registry: Registry, sample: () => HostedSample) {
    const registers = [registry];
    this.#removed = new Counter({
      name: 'cistern_gc_removed_total',
      help: 'What collections of hosted repositories have removed.',
      labelNames: ['kind'],
      registers,
    });
    this.#freed = new Counter({
      name: 'cistern_gc_freed_bytes_total',
      help: 'Bytes of files that were removed because no hosted repository links them any more.',
      registers,
    });
    this.#last = new Gauge({
      name: 'cistern_gc_last_seconds',
      help: 'When the last collection ended, as Unix time; 0: none since the start.',
      registers,
    });
    new Gauge({
      name: 'cistern_hosted_bytes',
      help: 'Bytes that hosted repositories link, each blob once.',
      registers,
      collect() {
        this.set(sample().bytes);
      },
    });
    new Gauge({
      name: 'cistern_hosted_repositories',
      help: 'Hosted repositories that have a manifest or a blob.',
      registers,
      collect() {
        this.set(sample().repositories);
      },
    });
    for (const kind of kinds) this.#removed.inc({ kind }, 0);
  }

  collected(kind: CollectedKind, count: number): void {
    this.#removed.inc({ kind }, count);
  }

  freed(bytes: number): void {
    this.#freed.inc(bytes);
  }

  ended(atMs: number): void {
    this.#last.set(atMs / 1000);
  }
}
