import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { createLogger } from '../../../src/log.ts';
import { Metrics, type StoreSample } from '../../../src/metrics/metrics.ts';

/** Name and labels, as users' dashboards rely on them. */
const families = {
  cistern_requests_total: 'upstream kind method status outcome',
  cistern_served_bytes_total: 'upstream kind outcome',
  cistern_upstream_requests_total: 'upstream kind method status',
  cistern_upstream_bytes_total: 'upstream',
  cistern_request_seconds: 'kind outcome',
  cistern_first_byte_seconds: 'kind outcome',
  cistern_downloads_active: 'upstream',
  cistern_download_followers: 'upstream',
  cistern_downloads_resumed_total: 'upstream cause',
  cistern_digest_mismatch_total: 'upstream',
  cistern_store_bytes: '',
  cistern_store_blobs: '',
  cistern_store_limit_bytes: '',
  cistern_store_free_bytes: '',
  cistern_store_errors_total: 'operation',
  cistern_evictions_total: '',
  cistern_evicted_bytes_total: '',
  cistern_eviction_age_seconds: '',
  cistern_upstream_ratelimit_limit: 'upstream',
  cistern_upstream_ratelimit_remaining: 'upstream',
  cistern_upstream_credentials_ok: 'upstream',
  cistern_upstream_up: 'upstream',
  cistern_breaker_open: 'upstream',
  cistern_lru_up: 'backend',
  cistern_notifications_total: 'target result',
};

const lines: string[] = [];
const logger = createLogger({ level: 'warn', format: 'json', write: line => lines.push(line) });

async function everything(sample: () => StoreSample = () => ({})): Promise<Metrics> {
  const metrics = new Metrics({ logger });
  metrics.sampleStore(sample);
  const end = { upstream: 'docker.io', kind: 'blob', outcome: 'hit', method: 'GET', status: 200 } as const;
  metrics.requestEnded({ ...end, bytes: 700, seconds: 0.2, firstByteSeconds: 0.1 });
  metrics.requestEnded({ ...end, bytes: 300, seconds: 0.2, firstByteSeconds: 0.1 });
  metrics.upstreamAnswered('docker.io', 'token', 'GET', 200);
  metrics.upstreamAnswered('docker.io', 'manifest', 'HEAD', undefined);
  metrics.upstreamBytes('docker.io', 11);
  metrics.upstreamRateLimit('docker.io', { limit: 100, remaining: 42 });
  metrics.upstreamUp('docker.io', true);
  metrics.upstreamCredentials('docker.io', true);
  metrics.breakerOpen('docker.io', false);
  metrics.downloadStarted('docker.io', 'sha256:aa');
  metrics.downloadStarted('docker.io', 'sha256:aa');
  metrics.downloadEnded('docker.io');
  metrics.downloadResumed('docker.io', 'stall');
  metrics.followerJoined('docker.io');
  metrics.followerJoined('docker.io');
  metrics.followerLeft('docker.io');
  metrics.digestMismatch('docker.io');
  metrics.evicted(500, 3600, 'sha256:bb');
  metrics.storeError('write');
  metrics.notified('ci.lan', 'delivered');
  return metrics;
}

describe('metrics', () => {
  it('have exactly these names and labels', async () => {
    const sample = () =>
      ({ bytes: 1, blobs: 1, limitBytes: 1, freeBytes: 1, lru: { backend: 'embedded', up: true } }) as const;
    const { body } = await (await everything(sample)).render();
    const found = new Map<string, string>();
    const names = [...body.matchAll(/^# TYPE (cistern_\w+) /gm)].map(match => match[1] ?? '');
    for (const name of names) {
      const series = new RegExp(`^${name}(?:_count)?(?:\\{(.*)\\})? `, 'm').exec(body);
      const labels = [...(series?.[1] ?? '').matchAll(/(\w+)="/g)].map(match => match[1]);
      found.set(name, labels.join(' '));
    }
    expect(Object.fromEntries(found)).toEqual(families);
  });

  it('are all there from the start, with the defaults of Node', async () => {
    const { body, contentType } = await new Metrics({ logger }).render();
    for (const name of Object.keys(families)) expect(body).toContain(`# TYPE ${name} `);
    expect(body).toContain('process_resident_memory_bytes');
    expect(body).toContain('nodejs_eventloop_lag_seconds');
    expect(contentType).toContain('version=0.0.4');
  });

  it('count what the rooms report', async () => {
    const { body } = await (await everything()).render();
    for (const line of [
      'cistern_requests_total{upstream="docker.io",kind="blob",method="GET",status="200",outcome="hit"} 2',
      'cistern_served_bytes_total{upstream="docker.io",kind="blob",outcome="hit"} 1000',
      'cistern_upstream_requests_total{upstream="docker.io",kind="token",method="GET",status="200"} 1',
      'cistern_upstream_requests_total{upstream="docker.io",kind="manifest",method="HEAD",status="error"} 1',
      'cistern_upstream_bytes_total{upstream="docker.io"} 11',
      'cistern_request_seconds_count{kind="blob",outcome="hit"} 2',
      'cistern_first_byte_seconds_bucket{le="0.1",kind="blob",outcome="hit"} 2',
      'cistern_downloads_active{upstream="docker.io"} 1',
      'cistern_download_followers{upstream="docker.io"} 1',
      'cistern_downloads_resumed_total{upstream="docker.io",cause="stall"} 1',
      'cistern_digest_mismatch_total{upstream="docker.io"} 1',
      'cistern_store_errors_total{operation="write"} 1',
      'cistern_evictions_total 1',
      'cistern_evicted_bytes_total 500',
      'cistern_eviction_age_seconds_sum 3600',
      'cistern_upstream_ratelimit_limit{upstream="docker.io"} 100',
      'cistern_upstream_ratelimit_remaining{upstream="docker.io"} 42',
      'cistern_upstream_credentials_ok{upstream="docker.io"} 1',
      'cistern_upstream_up{upstream="docker.io"} 1',
      'cistern_breaker_open{upstream="docker.io"} 0',
    ]) {
      expect(body.split('\n')).toContain(line);
    }
  });

  it('sample the store when they are asked', async () => {
    let bytes = 10;
    const metrics = new Metrics({ logger });
    metrics.sampleStore(() => ({ bytes, blobs: 2, lru: { backend: 'redis', up: false } }));
    expect((await metrics.render()).body).toContain('cistern_store_bytes 10\n');
    bytes = 20;
    const { body } = await metrics.render();
    expect(body).toContain('cistern_store_bytes 20\n');
    expect(body).toContain('cistern_lru_up{backend="redis"} 0\n');
  });

  it('are still given when the store can not be sampled, and the log says so', async () => {
    lines.length = 0;
    const metrics = new Metrics({ logger });
    metrics.sampleStore(() => Promise.reject(new Error('EIO')));
    expect((await metrics.render()).body).toContain('cistern_store_bytes');
    expect(lines.join('')).toContain('EIO');
  });

  it('of two mirrors in one process do not mix', async () => {
    await everything();
    const { body } = await new Metrics({ logger }).render();
    expect(body).toContain('cistern_evictions_total 0\n');
  });

  it('begin at 0 for the upstreams that are known at start', async () => {
    const { body } = await new Metrics({ logger, upstreams: ['ghcr.io'] }).render();
    expect(body).toContain('cistern_upstream_bytes_total{upstream="ghcr.io"} 0\n');
    expect(body).toContain('cistern_downloads_active{upstream="ghcr.io"} 0\n');
  });

  it('are all in docs/metrics.md, with their labels, and nothing else is', async () => {
    const text = await readFile(new URL('../../../docs/metrics.md', import.meta.url), 'utf8');
    const rows = [...text.matchAll(/^\| `(cistern_\w+)` \|([^|]*)\|/gm)];
    const documented = rows
      .map(row => [row[1] ?? '', (row[2] ?? '').replace(/[`,]/g, '').trim()] as const)
      .filter(
        ([name]) => !/^cistern_(?:fleet|gc|hosted|logins|received|scrub|tls|trace|uploads)_/.test(name),
      ); // not of all: test/integration/monitoring.test.ts
    expect(Object.fromEntries(documented)).toEqual(families);
  });
});
