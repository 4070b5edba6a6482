/**
 * Every metric family of docs/metrics.md: name, labels, buckets. Each mirror has one set in its own registry. Names and
 * labels are part of the product and never change.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

const requestBuckets = [0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const [minute, hour, day] = [60, 3600, 86_400];
/** Seconds. */
const ageBuckets = [minute, 10 * minute, hour, 6 * hour].concat(
  [1, 3, 7, 30, 90, 365].map(days => days * day),
);

export class MetricFamilies {
  readonly registry = new Registry();

  readonly requests = this.#counter('cistern_requests_total', 'Requests answered.', [
    'upstream',
    'kind',
    'method',
    'status',
    'outcome',
  ]);
  readonly servedBytes = this.#counter('cistern_served_bytes_total', 'Body bytes sent to clients.', [
    'upstream',
    'kind',
    'outcome',
  ]);
  readonly upstreamRequests = this.#counter(
    'cistern_upstream_requests_total',
    'Requests sent to upstreams, each hop counted; status "error": no answer.',
    ['upstream', 'kind', 'method', 'status'],
  );
  readonly upstreamBytes = this.#counter(
    'cistern_upstream_bytes_total',
    'Body bytes received from upstreams.',
    ['upstream'],
  );
  readonly requestSeconds = this.#histogram(
    'cistern_request_seconds',
    'Time until a request was fully answered.',
    ['kind', 'outcome'],
    requestBuckets,
  );
  readonly firstByteSeconds = this.#histogram(
    'cistern_first_byte_seconds',
    'Time until the first byte of an answer.',
    ['kind', 'outcome'],
    requestBuckets,
  );
  readonly downloads = this.#gauge(
    'cistern_downloads_active',
    'Blob transfers from upstreams that are running.',
    ['upstream'],
  );
  readonly followers = this.#gauge('cistern_download_followers', 'Clients reading from a running transfer.', [
    'upstream',
  ]);
  readonly resumed = this.#counter('cistern_downloads_resumed_total', 'Resumed transfers.', [
    'upstream',
    'cause',
  ]);
  readonly mismatches = this.#counter(
    'cistern_digest_mismatch_total',
    'Content that did not match its digest.',
    ['upstream'],
  );
  readonly storeBytes = this.#gauge('cistern_store_bytes', 'Bytes held in the store.');
  readonly storeBlobs = this.#gauge('cistern_store_blobs', 'Blobs held in the store.');
  readonly storeLimit = this.#gauge('cistern_store_limit_bytes', 'Bytes the store may hold at most.');
  readonly storeFree = this.#gauge(
    'cistern_store_free_bytes',
    'Free bytes of the disk that holds the store.',
  );
  readonly storeErrors = this.#counter('cistern_store_errors_total', 'Failed operations on the store.', [
    'operation',
  ]);
  readonly evictions = this.#counter('cistern_evictions_total', 'Blobs evicted.');
  readonly evictedBytes = this.#counter('cistern_evicted_bytes_total', 'Bytes evicted.');
  readonly evictionAge = this.#histogram(
    'cistern_eviction_age_seconds',
    'Time since the last use of an evicted blob.',
    [],
    ageBuckets,
  );
  readonly rateLimit = this.#gauge(
    'cistern_upstream_ratelimit_limit',
    'Pull limit that the upstream reports.',
    ['upstream'],
  );
  readonly rateRemaining = this.#gauge(
    'cistern_upstream_ratelimit_remaining',
    'Pulls left of the pull limit.',
    ['upstream'],
  );
  readonly upstreamUp = this.#gauge('cistern_upstream_up', '1: the upstream answered the last request.', [
    'upstream',
  ]);
  readonly breakerOpen = this.#gauge(
    'cistern_breaker_open',
    '1: the upstream failed often and gets no requests.',
    ['upstream'],
  );
  readonly upstreamCredentials = this.#gauge(
    'cistern_upstream_credentials_ok',
    '1: the upstream takes the configured credentials.',
    ['upstream'],
  );
  readonly notifications = this.#counter(
    'cistern_notifications_total',
    'Notifications: delivered ones, failed attempts, and those that were dropped.',
    ['target', 'result'],
  );
  readonly lruUp = this.#gauge('cistern_lru_up', '1: the LRU index answers.', ['backend']);

  #counter(name: string, help: string, labelNames: readonly string[] = []): Counter {
    return new Counter({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  #gauge(name: string, help: string, labelNames: readonly string[] = []): Gauge {
    return new Gauge({ name, help, labelNames: [...labelNames], registers: [this.registry] });
  }

  #histogram(
    name: string,
    help: string,
    labelNames: readonly string[],
    buckets: readonly number[],
  ): Histogram {
    const registers = [this.registry];
    return new Histogram({ name, help, labelNames: [...labelNames], buckets: [...buckets], registers });
  }
}
