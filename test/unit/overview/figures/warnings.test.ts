import { expect, test } from 'vitest';
import type { StatsReport } from '../../../../src/admin/admin.ts';
import { warningsOf } from '../../../../src/overview/figures/warnings.ts';

const dayMs = 24 * 3_600_000;
const nowMs = Date.UTC(2026, 5, 1);
const upstream = {
  upstream: 'docker.io',
  up: true,
  breakerOpen: false,
  pausedUntil: null,
  rateLimit: 100,
  rateRemaining: 50,
  credentials: 'ok' as const,
};
const stats: StatsReport = {
  version: '1',
  store: {
    bytes: 1,
    blobs: 1,
    limitBytes: 1,
    limitReason: 'max_size',
    freeBytes: 10 * 1024 ** 3,
    partialBytes: 0,
    pinnedBytes: 0,
    scanned: true,
  },
  daemon: {
    pid: 1,
    startedAt: '2026-01-01T00:00:00.000Z',
    uptimeSeconds: 1,
    lru: { backend: 'redis', up: true },
    upstreams: [upstream],
    downloads: [],
    uploads: [],
    scrub: { running: null, endedAt: null, damagedFiles: 0, damaged: [] },
    requests: { hit: 0, miss: 0, joined: 0, stale: 0, passthrough: 0, error: 0 },
    servedBytes: 0,
    upstreamBytes: 0,
    hitRatio: { requests: null, bytes: null },
    evictions: { blobs: 0, bytes: 0 },
  },
};
const quiet = { expiries: new Map([['main', (nowMs + 30 * dayMs) / 1000]]), readOnly: false, nowMs };

function kinds(report: StatsReport, context: Parameters<typeof warningsOf>[1] = quiet): readonly string[] {
  return warningsOf(report, context).map(({ kind, subject }) => `${kind} ${subject}`);
}

function withUpstream(changed: object): StatsReport {
  return { ...stats, daemon: stats.daemon && { ...stats.daemon, upstreams: [{ ...upstream, ...changed }] } };
}

test('nothing to look at, nothing said', () => {
  expect(kinds(stats)).toEqual([]);
  expect(kinds({ ...stats, daemon: null })).toEqual([]);
});

test.each([
  [withUpstream({ credentials: 'refused' }), quiet, 'credentials docker.io'],
  [withUpstream({ breakerOpen: true }), quiet, 'breaker docker.io'],
  [withUpstream({ pausedUntil: '2026-06-01T01:00:00.000Z' }), quiet, 'rate-limit docker.io'],
  [withUpstream({ rateRemaining: 9 }), quiet, 'rate-limit docker.io'],
  [{ ...stats, store: { ...stats.store, freeBytes: 1024 } }, quiet, 'disk null'],
  [
    { ...stats, daemon: stats.daemon && { ...stats.daemon, lru: { backend: 'redis', up: false } } },
    quiet,
    'lru null',
  ],
  [stats, { ...quiet, readOnly: true }, 'read-only null'],
  [stats, { ...quiet, expiries: new Map([['main', (nowMs + 3 * dayMs) / 1000]]) }, 'certificate main'],
  [stats, { ...quiet, expiries: new Map([['mirror.lan', (nowMs - 1) / 1000]]) }, 'certificate mirror.lan'],
])('case %#: one warning', (report, context, expected) => {
  expect(kinds(report, context)).toEqual([expected]);
});
