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
const limited =
  'docker.io answers node1 with 429. What is not held waits or fails; see docs/howto-docker-hub-limits.md.';
const diskFull =
  'node1: its disk is full, and evicting makes no room. New layers pass through without being kept.';
const upload = ', kind="upload", upstream="hosted"';
const notCollected = 'It is read-only, or the log of a hosted repository is damaged; cistern gc says which.';
const dropped = 'node1 dropped notifications to ci: it did not take them within 24 h, or the spool was full.';
/** Bucket to its values. */
const firstByte = (outcome: string, buckets: Readonly<Record<string, string>>) =>
  Object.fromEntries(
    Object.entries(buckets).map(([le, values]) => [
      of('cistern_first_byte_seconds_bucket', `, kind="blob", outcome="${outcome}", le="${le}"`),
      values,
    ]),
  );

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
    // The first 429 of an upstream.
    alert: 'CisternRateLimited',
    series: {
      [of('cistern_upstream_requests_total', `${hub}, kind="blob", method="GET", status="200"`)]: '100+1x60',
      [of('cistern_upstream_requests_total', `${hub}, kind="manifest", method="GET", status="429"`)]:
        '_x29 1x30',
    },
    quietAt: '28m',
    firingAt: '30m',
    labels: { instance: 'node1', upstream: 'docker.io', severity: 'warning' },
    summary: limited,
  },
  {
    alert: 'CisternRateLimited',
    series: {
      [of('cistern_upstream_requests_total', `${hub}, kind="manifest", method="GET", status="429"`)]:
        '1x60 2x60',
    },
    quietAt: '59m',
    firingAt: '62m',
    labels: { instance: 'node1', upstream: 'docker.io', severity: 'warning' },
    summary: limited,
  },
  {
    alert: 'CisternCredentialsRefused',
    series: { [of('cistern_upstream_credentials_ok', hub)]: '1x10 0x10' },
    quietAt: '15m',
    firingAt: '17m',
    labels: { ...mirror, upstream: 'docker.io', severity: 'warning' },
    summary:
      'docker.io refuses the credentials of node1. Private repositories fail, public ones go on without.',
  },
  {
    // 404 is an answer; every fifth request fails from minute 30 on.
    alert: 'CisternErrors',
    series: {
      [of('cistern_requests_total', `${hub}, kind="blob", method="GET", status="404", outcome="error"`)]:
        '0+80x90',
      [of('cistern_requests_total', `${hub}, kind="manifest", method="GET", status="503", outcome="error"`)]:
        '0x30 20+20x60',
    },
    quietAt: '30m',
    firingAt: '60m',
    labels: { instance: 'node1', severity: 'warning' },
    summary: 'node1 answers 20% of the requests for blobs and manifests with an error. Its log says why.',
  },
  {
    // Half of one request in two minutes: too few to say anything.
    alert: 'CisternErrors',
    series: {
      [of('cistern_requests_total', `${hub}, kind="manifest", method="GET", status="503", outcome="error"`)]:
        '0 0 1 1 2 2 3 3 4 4 5 5 6 6 7 7 8 8 9 9 10 10 11 11 12 12 13 13 14 14 15 15 27+12x60',
    },
    quietAt: '30m',
    firingAt: '60m',
    labels: { instance: 'node1', severity: 'warning' },
    summary: 'node1 answers 100% of the requests for blobs and manifests with an error. Its log says why.',
  },
  {
    // Slow misses are not this alert's.
    alert: 'CisternFirstByteSlow',
    series: firstByte('hit', {
      '0.1': '0+60x30 1800x60',
      '1': '0+60x30 1860+60x59',
      '+Inf': '0+60x30 1860+60x59',
    }),
    quietAt: '30m',
    firingAt: '60m',
    labels: { instance: 'node1', severity: 'warning' },
    summary:
      'node1 takes 955ms until the first byte of held blobs (95th percentile). Its disk or its processor is overloaded.',
  },
  {
    alert: 'CisternUpstreamSlow',
    series: firstByte('miss', {
      '5': '0+60x30 1800x60',
      '10': '0+60x30 1860+60x59',
      '+Inf': '0+60x30 1860+60x59',
    }),
    quietAt: '30m',
    firingAt: '60m',
    labels: { instance: 'node1', severity: 'warning' },
    summary:
      'node1 takes 9.75s until the first byte of what it has to fetch (95th percentile). Its line or a registry is slow.',
  },
  {
    alert: 'CisternDiskFull',
    series: { [of('cistern_store_free_bytes')]: '2000000000x10 200000000x20' },
    quietAt: '15m',
    firingAt: '25m',
    labels: { ...mirror, severity: 'critical' },
    summary: diskFull,
  },
  {
    alert: 'CisternDiskFull',
    series: {
      [of('cistern_store_free_bytes')]: '2000000000x40',
      [of('cistern_store_bytes')]: '50000000000x40',
      [of('cistern_store_limit_bytes')]: '50000000000x10 40000000000x30',
    },
    quietAt: '15m',
    firingAt: '25m',
    labels: { ...mirror, severity: 'critical' },
    summary: diskFull,
  },
  {
    alert: 'CisternDiskTaken',
    series: { [of('cistern_store_limit_bytes')]: '53687091200x60 21474836480x60' },
    quietAt: '60m',
    firingAt: '100m',
    labels: { ...mirror, severity: 'warning' },
    summary: 'node1: other data fills its disk. The store may hold only 20GiB, less than half of yesterday.',
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
  {
    // A chunk in the wrong place is the client's affair; every fourth request fails from minute 30 on.
    alert: 'CisternPushesFail',
    series: {
      [of('cistern_requests_total', `${upload}, method="PATCH", status="416", outcome="error"`)]: '0+60x90',
      [of('cistern_requests_total', `${upload}, method="POST", status="503", outcome="error"`)]:
        '0x30 20+20x60',
    },
    quietAt: '30m',
    firingAt: '60m',
    labels: { instance: 'node1', severity: 'warning' },
    summary:
      'node1 refuses 25% of the requests of uploads. Its disk is full, it is read-only or a log is damaged; its log says which.',
  },
  {
    alert: 'CisternUploadsFull',
    series: { [of('cistern_uploads_open')]: '900x10 950x20' },
    quietAt: '15m',
    firingAt: '25m',
    labels: { ...mirror, severity: 'warning' },
    summary: 'node1 has 950 uploads open. From 1,000 on it takes no new one.',
  },
  {
    // The last one was in minute 10.
    alert: 'CisternNotCollected',
    series: {
      [of('cistern_gc_last_seconds')]: '0x10 600x400',
      [of('process_start_time_seconds')]: '0x400',
    },
    quietAt: '249m',
    firingAt: '251m',
    labels: { ...mirror, severity: 'warning' },
    summary: `node1 has collected nothing for 4h 1m 0s. ${notCollected}`,
  },
  {
    // None since the start; a mirror that hosts nothing has no such series.
    alert: 'CisternNotCollected',
    series: {
      [of('cistern_gc_last_seconds')]: '0x400',
      [of('process_start_time_seconds')]: '0x400',
      'process_start_time_seconds{job="cistern", instance="node2"}': '0x400',
    },
    quietAt: '240m',
    firingAt: '241m',
    labels: { ...mirror, severity: 'warning' },
    summary: `node1 has collected nothing for 4h 1m 0s. ${notCollected}`,
  },
  {
    alert: 'CisternPushedFilesDamaged',
    series: { [of('cistern_scrub_damaged_files')]: '0x10 2x10' },
    quietAt: '10m',
    firingAt: '11m',
    labels: { ...mirror, severity: 'critical' },
    summary:
      'node1 has 2 pushed files that are damaged or missing. cistern scrub names them; push their images again.',
  },
  {
    alert: 'CisternDiskDamagesFiles',
    series: {
      [of('cistern_scrub_findings_total', ', owner="cached", problem="damaged"')]: '0x10 1x50 4x1440',
      [of('cistern_scrub_findings_total', ', owner="hosted", problem="damaged"')]: '0x10 9x1500',
    },
    quietAt: '59m',
    firingAt: '1440m',
    labels: { instance: 'node1', severity: 'warning' },
    summary: 'node1 found 4 damaged files in its cache within a day. They are fetched again; check the disk.',
  },
  {
    // Some attempts fail now and then; from minute 60 on all of them do.
    alert: 'CisternNotificationsFail',
    series: {
      [of('cistern_notifications_total', ', target="ci", result="failed"')]: '0+1x200',
      [of('cistern_notifications_total', ', target="ci", result="delivered"')]: '0+1x60 60x140',
    },
    quietAt: '100m',
    firingAt: '110m',
    labels: { instance: 'node1', target: 'ci', severity: 'warning' },
    summary: "node1 can't deliver notifications to ci. They wait for 24 h, then they are dropped.",
  },
  {
    alert: 'CisternNotificationsDropped',
    series: { [of('cistern_notifications_total', ', target="ci", result="dropped"')]: '_x9 1x30' },
    quietAt: '8m',
    firingAt: '10m',
    labels: { ...mirror, target: 'ci', result: 'dropped', severity: 'warning' },
    summary: dropped,
  },
  {
    alert: 'CisternNotificationsDropped',
    series: { [of('cistern_notifications_total', ', target="ci", result="dropped"')]: '1x60 2x60' },
    quietAt: '59m',
    firingAt: '62m',
    labels: { ...mirror, target: 'ci', result: 'dropped', severity: 'warning' },
    summary: dropped,
  },
  {
    // None is taken from minute 30 on.
    alert: 'CisternTracesNotSent',
    series: {
      [of('cistern_trace_spans_total', ', result="failed"')]: '0x30 1+1x60',
      [of('cistern_trace_spans_total', ', result="sent"')]: '0+9x30 270x60',
    },
    quietAt: '50m',
    firingAt: '65m',
    labels: { ...mirror, result: 'failed', severity: 'warning' },
    summary:
      "node1 can't send its traces: the receiver at tracing.endpoint is away or refuses them. Pulls go on.",
  },
];
