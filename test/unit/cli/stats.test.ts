/** What `cistern stats` prints, for figures that a test seldom meets. */
import { expect, test } from 'vitest';
import type { StatsReport } from '../../../src/admin/admin.ts';
import { renderStats } from '../../../src/cli/stats.ts';

const report: StatsReport = {
  version: '1.2.3',
  store: {
    path: '/srv/cistern',
    bytes: 3_000_000,
    blobs: 7,
    limitBytes: null,
    limitReason: 'none: the disk could not be asked',
    freeBytes: null,
    partialBytes: 1024,
    pinnedBytes: 2048,
    scanned: false,
  },
  daemon: {
    pid: 4711,
    startedAt: '2026-01-01T00:00:00.000Z',
    uptimeSeconds: 7260,
    lru: { backend: 'redis', up: false },
    upstreams: [
      {
        upstream: 'docker.io',
        up: true,
        breakerOpen: false,
        pausedUntil: '2026-01-01T02:00:00.000Z',
        rateLimit: 100,
        rateRemaining: 3,
        credentials: 'ok',
      },
      {
        upstream: 'ghcr.io',
        up: false,
        breakerOpen: true,
        pausedUntil: null,
        rateLimit: null,
        rateRemaining: null,
        credentials: null,
      },
      {
        upstream: 'quay.io',
        up: null,
        breakerOpen: false,
        pausedUntil: null,
        rateLimit: null,
        rateRemaining: null,
        credentials: null,
      },
      {
        upstream: 'r.lan',
        up: false,
        breakerOpen: false,
        pausedUntil: null,
        rateLimit: 5,
        rateRemaining: null,
        credentials: 'refused',
      },
    ],
    uploads: [],
    scrub: { running: null, endedAt: null, damagedFiles: 0, damaged: [] },
    downloads: [
      {
        digest: `sha256:${'ab'.repeat(32)}`,
        upstream: 'docker.io',
        repository: 'docker.io/library/a',
        frontBytes: 0,
        sizeBytes: null,
        followers: 2,
        bytesPerSecond: 1536,
      },
      {
        digest: `sha256:${'cd'.repeat(32)}`,
        upstream: 'docker.io',
        frontBytes: 10,
        sizeBytes: 20,
        followers: 0,
        bytesPerSecond: 0,
      },
    ],
    requests: { hit: 3, miss: 1, joined: 0, stale: 0, passthrough: 0, error: 9 },
    servedBytes: 4096,
    upstreamBytes: 1024,
    hitRatio: { requests: 0.75, bytes: null },
    evictions: { blobs: 2, bytes: 1024 },
  },
};

test('a running daemon', () => {
  expect(renderStats(report)).toBe(`version    1.2.3
daemon     process 4711, running for 2 h
store      /srv/cistern
held       2.9 MiB no limit, 7 blobs (still being read)
limit      none: the disk could not be asked
partials   1.0 KiB
pinned     2.0 KiB
LRU index  redis, away
requests   3 hit, 1 miss, 0 joined, 0 stale, 0 passthrough, 9 error
hit ratio  75.0 % of requests, - of bytes
bytes      4.0 KiB served, 1.0 KiB from upstreams
evictions  2 blobs, 1.0 KiB

UPSTREAM   STATE                                      PULL LIMIT
docker.io  up, paused until 2026-01-01T02:00:00.000Z  3 of 100 left
ghcr.io    away                                       -
quay.io    not asked yet                              -
r.lan      failed, credentials refused                ? of 5 left

DOWNLOAD             FROM                 FRONT  SIZE  FOLLOWERS      SPEED
sha256:abababababab  docker.io/library/a    0 B     ?          2  1.5 KiB/s
sha256:cdcdcdcdcdcd  docker.io             10 B  20 B          0      0 B/s
`);
});

test('the store alone', () => {
  expect(renderStats({ ...report, daemon: null })).toBe(`version   1.2.3
daemon    not running, figures of the store alone
store     /srv/cistern
held      2.9 MiB no limit, 7 blobs (still being read)
limit     none: the disk could not be asked
partials  1.0 KiB
pinned    2.0 KiB
`);
});
