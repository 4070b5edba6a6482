/**
 * The metrics of docs/metrics.md: one prom-client registry per mirror, fed by the observer's events. Label children are
 * bound once per label set and kept, so that a request costs map look-ups. What is a state rather than an event (the
 * store, the LRU index) is sampled at scrape time.
 */
import { collectDefaultMetrics, type Registry } from 'prom-client';
import type { Logger } from '../telemetry/logger.ts';
import type {
  Kind,
  Observer,
  RateLimit,
  RequestEnd,
  ResumeCause,
  StoreOperation,
} from '../telemetry/observer.ts';
import { BoundChildren, RequestChildren } from './metric-children.ts';
import { MetricFamilies } from './metric-families.ts';
import { type MetricTotals, readTotals } from './metric-totals.ts';

/** The state at the moment of a scrape. Bytes; what isn't known is left out. */
export interface StoreSample {
  readonly bytes?: number;
  readonly blobs?: number;
  readonly limitBytes?: number;
  readonly freeBytes?: number;
  readonly lru?: { readonly backend: 'embedded' | 'redis'; readonly up: boolean };
}

export interface MetricsOptions {
  readonly sample: () => Promise<StoreSample> | StoreSample;
  readonly logger: Logger;
  /** Known at start, so that their series begin at 0 instead of being absent. Configured keys. */
  readonly upstreams?: Iterable<string>;
}

export class Metrics implements Observer {
  readonly #sample: MetricsOptions['sample'];
  readonly #logger: Logger;

  readonly #families = new MetricFamilies();

  readonly #requestChildren = new RequestChildren(this.#families);
  readonly #upstreamBytesChildren = new BoundChildren((labels: readonly string[]) =>
    this.#families.upstreamBytes.labels(...labels),
  );

  constructor(options: MetricsOptions) {
    this.#sample = options.sample;
    this.#logger = options.logger;
    collectDefaultMetrics({ register: this.#families.registry });
    for (const upstream of options.upstreams ?? []) {
      this.#families.upstreamBytes.inc({ upstream }, 0);
      this.#families.downloads.set({ upstream }, 0);
      this.#families.followers.set({ upstream }, 0);
      this.#families.mismatches.inc({ upstream }, 0);
      this.#families.breakerOpen.set({ upstream }, 0);
    }
  }

  /** For families that not every mirror has. */
  get registry(): Registry {
    return this.#families.registry;
  }

  requestEnded(end: RequestEnd): void {
    const series = this.#requestChildren.of(end);
    series.requests.inc();
    if (end.bytes > 0) series.servedBytes.inc(end.bytes);
    series.seconds.observe(end.seconds);
    series.firstByteSeconds.observe(end.firstByteSeconds);
  }

  upstreamAnswered(upstream: string, kind: Kind, method: string, status: number | undefined): void {
    this.#families.upstreamRequests.inc({
      upstream,
      kind,
      method,
      status: status === undefined ? 'error' : String(status),
    });
  }

  upstreamBytes(upstream: string, bytes: number): void {
    this.#upstreamBytesChildren.of(upstream).inc(bytes);
  }

  upstreamRateLimit(upstream: string, limit: RateLimit): void {
    if (limit.limit !== undefined) this.#families.rateLimit.set({ upstream }, limit.limit);
    if (limit.remaining !== undefined) this.#families.rateRemaining.set({ upstream }, limit.remaining);
  }

  upstreamUp(upstream: string, up: boolean): void {
    this.#families.upstreamUp.set({ upstream }, up ? 1 : 0);
  }

  breakerOpen(upstream: string, open: boolean): void {
    this.#families.breakerOpen.set({ upstream }, open ? 1 : 0);
  }

  downloadStarted(upstream: string): void {
    this.#families.downloads.inc({ upstream });
  }

  downloadEnded(upstream: string): void {
    this.#families.downloads.dec({ upstream });
  }

  downloadResumed(upstream: string, cause: ResumeCause): void {
    this.#families.resumed.inc({ upstream, cause });
  }

  followerJoined(upstream: string): void {
    this.#families.followers.inc({ upstream });
  }

  followerLeft(upstream: string): void {
    this.#families.followers.dec({ upstream });
  }

  digestMismatch(upstream: string): void {
    this.#families.mismatches.inc({ upstream });
  }

  evicted(bytes: number, ageSeconds: number): void {
    this.#families.evictions.inc();
    this.#families.evictedBytes.inc(bytes);
    this.#families.evictionAge.observe(ageSeconds);
  }

  storeError(operation: StoreOperation): void {
    this.#families.storeErrors.inc({ operation });
  }

  /** What was counted since the start: for `stats`. */
  totals(): Promise<MetricTotals> {
    return readTotals(this.#families);
  }

  /** The text of one scrape. A sample that fails is logged; the gauges then keep their last values. */
  async render(): Promise<{ contentType: string; body: string }> {
    try {
      this.#apply(await this.#sample());
    } catch (error) {
      this.#logger.warn('the store could not be sampled for metrics', { error });
    }
    return {
      contentType: this.#families.registry.contentType,
      body: await this.#families.registry.metrics(),
    };
  }

  #apply(sample: StoreSample): void {
    if (sample.bytes !== undefined) this.#families.storeBytes.set(sample.bytes);
    if (sample.blobs !== undefined) this.#families.storeBlobs.set(sample.blobs);
    if (sample.limitBytes !== undefined) this.#families.storeLimit.set(sample.limitBytes);
    if (sample.freeBytes !== undefined) this.#families.storeFree.set(sample.freeBytes);
    if (sample.lru !== undefined)
      this.#families.lruUp.set({ backend: sample.lru.backend }, sample.lru.up ? 1 : 0);
  }
}
