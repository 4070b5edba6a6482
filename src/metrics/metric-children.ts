/**
 * Bound label children of metrics, made once per label set. Label values come from closed tables and from the
 * configuration (see `http/exchange.ts`), so the maps are bounded.
 */
import type { Counter, Histogram } from 'prom-client';
import type { RequestEnd } from '../telemetry/observer.ts';
import type { MetricFamilies } from './metric-families.ts';

export class BoundChildren<Child> {
  readonly #bind: (labels: readonly string[]) => Child;
  readonly #children = new Map<string, Child>();

  constructor(bind: (labels: readonly string[]) => Child) {
    this.#bind = bind;
  }

  of(...labels: readonly string[]): Child {
    const key = labels.join('\n');
    const known = this.#children.get(key);
    if (known !== undefined) return known;
    const child = this.#bind(labels);
    this.#children.set(key, child);
    return child;
  }
}

/** All that a request of one kind is counted in. */
export interface RequestSeries {
  readonly requests: Counter.Internal;
  readonly servedBytes: Counter.Internal;
  readonly seconds: Histogram.Internal<string>;
  readonly firstByteSeconds: Histogram.Internal<string>;
}

/** One look-up for each request. */
export class RequestChildren {
  readonly #families: MetricFamilies;
  readonly #series = new Map<string, RequestSeries>();

  constructor(families: MetricFamilies) {
    this.#families = families;
  }

  of(end: RequestEnd): RequestSeries {
    const key = `${end.upstream} ${end.kind} ${end.method} ${end.status} ${end.outcome}`;
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    const series = this.#bind(end);
    this.#series.set(key, series);
    return series;
  }

  /** A child is no series yet: that begins with its first value. */
  #bind({ upstream, kind, method, status, outcome }: RequestEnd): RequestSeries {
    const { requests, servedBytes, requestSeconds, firstByteSeconds } = this.#families;
    return {
      requests: requests.labels(upstream, kind, method, String(status), outcome),
      servedBytes: servedBytes.labels(upstream, kind, outcome),
      seconds: requestSeconds.labels(kind, outcome),
      firstByteSeconds: firstByteSeconds.labels(kind, outcome),
    };
  }
}
