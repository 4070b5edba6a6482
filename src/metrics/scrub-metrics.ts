/** The metrics of the scrub (docs/metrics.md), in the mirror's registry. */
import { Counter, Gauge, type Registry } from 'prom-client';
import type { ScrubObserver } from '../telemetry/observer.ts';

const owners = ['cached', 'hosted'] as const;
const problems = ['damaged', 'missing'] as const;

export class ScrubMetrics implements ScrubObserver {
  readonly #bytes: Counter;
  readonly #findings: Counter;
  readonly #fetched: Counter;
  readonly #last: Gauge;

  /** `countDamaged`: hosted files that are damaged now, asked at each scrape. */
  constructor(registry: Registry, countDamaged: () => Promise<number>) {
    const registers = [registry];
    this.#bytes = new Counter({
      name: 'cistern_scrub_bytes_total',
      help: 'Bytes of held files that the scrub has compared with their digests.',
      registers,
    });
    this.#findings = new Counter({
      name: 'cistern_scrub_findings_total',
      help: 'Files that the scrub has found damaged, and hosted ones that it has found missing.',
      labelNames: ['owner', 'problem'],
      registers,
    });
    this.#fetched = new Counter({
      name: 'cistern_scrub_fetched_total',
      help: 'Damaged cached files that the scrub has fetched again.',
      registers,
    });
    this.#last = new Gauge({
      name: 'cistern_scrub_last_seconds',
      help: 'When the last complete scrub ended, as Unix time; 0: none since the start.',
      registers,
    });
    new Gauge({
      name: 'cistern_scrub_damaged_files',
      help: 'Hosted files that are damaged or missing now, and wait for a push.',
      registers,
      async collect() {
        this.set(await countDamaged());
      },
    });
    for (const owner of owners)
      for (const problem of problems)
        if (owner === 'hosted' || problem === 'damaged') this.#findings.inc({ owner, problem }, 0);
  }

  compared(bytes: number): void {
    this.#bytes.inc(bytes);
  }

  found(owner: 'cached' | 'hosted', problem: 'damaged' | 'missing'): void {
    this.#findings.inc({ owner, problem });
  }

  fetchedAgain(): void {
    this.#fetched.inc();
  }

  ended(atMs: number): void {
    this.#last.set(atMs / 1000);
  }
}
