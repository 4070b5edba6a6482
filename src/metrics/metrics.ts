/**
 * The metrics of docs/metrics.md: one prom-client registry per mirror, fed by the observer's events. The state of the store
 * and of the LRU index is sampled at scrape time. Label children are bound once per label set, so a request costs one look-up.
 */
import { type Counter, collectDefaultMetrics, type Histogram, type Registry } from 'prom-client';
import type { Logger } from '../telemetry/logger.ts';
import type {
  Kind,
  Observer,
  RateLimit,
  RequestEnd,
  ResumeCause,
  StoreOperation,
} from '../telemetry/observer.ts';
import type { BlobNote, FailedPull, PulledManifest, UsageReading, UsageSource } from '../telemetry/usage.ts';
import { MetricFamilies } from './metric-families.ts';
import { type MetricTotals, readTotals } from './metric-totals.ts';
import { readUsageSums } from './usage-totals.ts';

/** The state at the moment of a scrape, in bytes; an absent field is unknown. */
export interface StoreSample {
  readonly bytes?: number;
  readonly blobs?: number;
  readonly limitBytes?: number;
  readonly freeBytes?: number;
  readonly lru?: { readonly backend: 'embedded' | 'redis'; readonly up: boolean };
}

export interface MetricsOptions {
  readonly logger: Logger;
  /** Keys of the configured upstreams: their series begin at 0 instead of being absent. */
  readonly upstreams?: Iterable<string>;
}

/** All series that one request is counted in. */
interface RequestSeries {
  readonly requests: Counter.Internal;
  readonly servedBytes: Counter.Internal;
  readonly seconds: Histogram.Internal<string>;
  readonly firstByteSeconds: Histogram.Internal<string>;
}

/** Of each kind, between two readings. */
const maxNotes = 10_000;
const awayFailures: ReadonlySet<unknown> = new Set(['offline', 'unreachable', 'timeout', 'breaker']);

/** What counters can't tell. In this file, because each request passes here. */
class CollectedNotes {
  /** By digest. */
  readonly manifests = new Map<string, { -readonly [Key in keyof PulledManifest]: PulledManifest[Key] }>();
  readonly blobs: BlobNote[] = [];
  readonly failed = new Map<string, FailedPull>();

  requestEnded({ asked, manifest, outcome, kind, failure }: RequestEnd): void {
    const { repository, reference } = asked ?? {};
    if (repository === undefined) return;
    if (manifest !== undefined) this.pulled(manifest, repository, outcome === 'miss');
    else if (kind === 'manifest' && reference !== undefined && awayFailures.has(failure)) {
      const key = `${repository} ${reference}`;
      const times = (this.failed.get(key)?.times ?? 0) + 1;
      if (times > 1 || this.failed.size < maxNotes) this.failed.set(key, { repository, reference, times });
    }
  }

  blob(note: BlobNote): void {
    if (this.blobs.length < maxNotes) this.blobs.push(note);
  }

  pulled(digest: string, repository: string, isFetched: boolean): void {
    const known = this.manifests.get(digest);
    if (known === undefined) {
      if (this.manifests.size >= maxNotes) return;
      this.manifests.set(digest, { digest, repository, isFetched, isPulledAgain: !isFetched });
    } else if (isFetched) known.isFetched = true;
    else known.isPulledAgain = true;
  }
}

export class Metrics implements Observer, UsageSource {
  readonly #logger: Logger;
  readonly #families = new MetricFamilies();
  /** By label set. Label values come from closed tables and the configuration, so both maps are bounded. */
  readonly #requestSeries = new Map<string, RequestSeries>();
  readonly #upstreamBytes = new Map<string, Counter.Internal>();
  /** For the daily report, since it last read them. */
  #notes = new CollectedNotes();
  #sample: () => Promise<StoreSample> | StoreSample = () => ({});

  constructor({ logger, upstreams = [] }: MetricsOptions) {
    this.#logger = logger;
    // It looks at the event loop so often: each 10 ms, its default, takes 1 % of a core from a process that rests.
    const eventLoopMonitoringPrecision = 250;
    collectDefaultMetrics({ register: this.#families.registry, eventLoopMonitoringPrecision });
    for (const upstream of upstreams) {
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

  /** Each scrape calls `sample` from now on. The composition sets it when the store is open. */
  sampleStore(sample: () => Promise<StoreSample> | StoreSample): void {
    this.#sample = sample;
  }

  requestEnded(end: RequestEnd): void {
    const series = this.#seriesOf(end);
    series.requests.inc();
    if (end.bytes > 0) series.servedBytes.inc(end.bytes);
    series.seconds.observe(end.seconds);
    series.firstByteSeconds.observe(end.firstByteSeconds);
    this.#notes.requestEnded(end);
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
    let child = this.#upstreamBytes.get(upstream);
    if (child === undefined) {
      child = this.#families.upstreamBytes.labels(upstream);
      this.#upstreamBytes.set(upstream, child);
    }
    child.inc(bytes);
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

  upstreamCredentials(upstream: string, areAccepted: boolean): void {
    this.#families.upstreamCredentials.set({ upstream }, areAccepted ? 1 : 0);
  }

  downloadStarted(upstream: string, digest: string): void {
    this.#families.downloads.inc({ upstream });
    this.#notes.blob({ digest, upstream });
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

  evicted(bytes: number, ageSeconds: number, digest: string): void {
    this.#notes.blob({ digest, evictedBytes: bytes });
    this.#families.evictions.inc();
    this.#families.evictedBytes.inc(bytes);
    this.#families.evictionAge.observe(ageSeconds);
  }

  storeError(operation: StoreOperation): void {
    this.#families.storeErrors.inc({ operation });
  }

  /** `target`: a configured name. */
  notified(target: string, result: 'delivered' | 'failed' | 'dropped', count = 1): void {
    this.#families.notifications.inc({ target, result }, count);
  }

  /** The counts since the start, for `stats`. */
  totals(): Promise<MetricTotals> {
    return readTotals(this.#families);
  }

  /** A manifest that no client has asked for yet. `repository`: canonical. */
  fetchedAhead(repository: string, digest: string): void {
    this.#notes.pulled(digest, repository, true);
  }

  async readUsage(): Promise<UsageReading> {
    const sums = await readUsageSums(this.#families);
    const { manifests, blobs, failed } = this.#notes;
    this.#notes = new CollectedNotes();
    return { sums, notes: { pulled: [...manifests.values()], blobs, failed: [...failed.values()] } };
  }

  /** The text of one scrape. A sample that fails is logged, and the gauges keep their last values. */
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

  /** Bound children become series with their first value, not before. */
  #seriesOf({ upstream, kind, method, status, outcome }: RequestEnd): RequestSeries {
    const key = `${upstream} ${kind} ${method} ${status} ${outcome}`;
    const known = this.#requestSeries.get(key);
    if (known !== undefined) return known;
    const { requests, servedBytes, requestSeconds, firstByteSeconds } = this.#families;
    const series = {
      requests: requests.labels(upstream, kind, method, String(status), outcome),
      servedBytes: servedBytes.labels(upstream, kind, outcome),
      seconds: requestSeconds.labels(kind, outcome),
      firstByteSeconds: firstByteSeconds.labels(kind, outcome),
    };
    this.#requestSeries.set(key, series);
    return series;
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
