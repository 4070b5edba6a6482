/** One case or more for each alert: series a minute apart, a time at which it must be quiet and one at which it must not. */
export interface AlertCase {
  readonly alert: string;
  /** Series to values, in the notation of `promtool test rules`. */
  readonly series: Readonly<Record<string, string>>;
  readonly quietAt: string;
  readonly firingAt: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly summary: string;
}

const mirror = { job: 'cistern', instance: 'node1' };
const of = (name: string, labels = '') => `${name}{job="cistern", instance="node1"${labels}}`;
const hub = ', upstream="docker.io"';
const away = 'node1 is not answering. Clients go to the registries themselves, or fail.';

export const alertCases: readonly AlertCase[] = [
  {
    alert: 'CisternAway',
    series: { [of('up')]: '1x10 0x10' },
    quietAt: '12m',
    firingAt: '14m',
    labels: { ...mirror, severity: 'critical' },
    summary: away,
  },
  {
    // Its name doesn't resolve any more.
    alert: 'CisternAway',
    series: { [of('up')]: '1x10 stale', 'up{job="cistern", instance="node2"}': '1x30' },
    quietAt: '10m',
    firingAt: '14m',
    labels: { ...mirror, severity: 'critical' },
    summary: away,
  },
  {
    alert: 'CisternUpstreamAway',
    series: { [of('cistern_upstream_up', hub)]: '1x10 0x10' },
    quietAt: '15m',
    firingAt: '17m',
    labels: { ...mirror, upstream: 'docker.io', severity: 'warning' },
    summary: "node1 can't reach docker.io. What is held is still served.",
  },
  {
    alert: 'CisternRateLimitLow',
    series: {
      [of('cistern_upstream_ratelimit_remaining', hub)]: '100x10 9x10',
      [of('cistern_upstream_ratelimit_limit', hub)]: '100x20',
    },
    quietAt: '15m',
    firingAt: '17m',
    labels: { ...mirror, upstream: 'docker.io', severity: 'warning' },
    summary: 'docker.io leaves node1 9% of its pull limit.',
  },
  {
    alert: 'CisternStoreErrors',
    series: { [of('cistern_store_errors_total', ', operation="write"')]: '_x9 1x30' },
    quietAt: '8m',
    firingAt: '10m',
    labels: { ...mirror, operation: 'write', severity: 'critical' },
    summary: 'node1: its store failed at write. Look at its disk and its log.',
  },
  {
    // Not for ever: a quarter of an hour after the last one.
    alert: 'CisternStoreErrors',
    series: { [of('cistern_store_errors_total', ', operation="write"')]: '1x60 2x60' },
    quietAt: '59m',
    firingAt: '62m',
    labels: { ...mirror, operation: 'write', severity: 'critical' },
    summary: 'node1: its store failed at write. Look at its disk and its log.',
  },
  {
    alert: 'CisternDigestMismatch',
    series: { [of('cistern_digest_mismatch_total', hub)]: '_x9 1x30' },
    quietAt: '8m',
    firingAt: '10m',
    labels: { ...mirror, upstream: 'docker.io', severity: 'warning' },
    summary: 'node1 got wrong bytes from docker.io. No client got them complete, and nothing was kept.',
  },
  {
    alert: 'CisternLruAway',
    series: { [of('cistern_lru_up', ', backend="redis"')]: '1x10 0x10' },
    quietAt: '15m',
    firingAt: '17m',
    labels: { ...mirror, backend: 'redis', severity: 'warning' },
    summary: "node1: the LRU index (redis) doesn't answer. Pulls go on.",
  },
  {
    alert: 'CisternFleetAway',
    series: { [of('cistern_fleet_up')]: '1x10 0x10' },
    quietAt: '15m',
    firingAt: '17m',
    labels: { ...mirror, severity: 'warning' },
    summary: "node1 can't meet its fleet in Redis, and fetches for itself. Pulls go on.",
  },
  {
    alert: 'CisternStoreTooSmall',
    series: {
      [of('cistern_eviction_age_seconds_bucket', ', le="3600"')]: '0x10 100x300',
      [of('cistern_eviction_age_seconds_bucket', ', le="21600"')]: '0x10 100x300',
      [of('cistern_eviction_age_seconds_bucket', ', le="+Inf"')]: '0x10 100x300',
    },
    quietAt: '60m',
    firingAt: '80m',
    labels: { instance: 'node1', severity: 'warning' },
    summary: 'node1 evicts blobs 30m 0s after their last use: raise store.max_size.',
  },
];
