/** `/api/v1/stats` as the listener of the metrics has it: figures without names, for whom access lets in. */
import { expect, onTestFinished, test } from 'vitest';
import type { StatsReport } from '../../../../src/admin/admin.ts';
import { createOpsApp } from '../../../../src/http/app.ts';
import { Listener } from '../../../../src/http/server/listener.ts';
import { get, head, request } from '../../../support/client.ts';
import { Recorder } from '../../../support/recorder.ts';

const progress = {
  digest: 'sha256:ab',
  upstream: 'docker.io',
  frontBytes: 1,
  sizeBytes: 2,
  followers: 3,
  bytesPerSecond: 4,
};
const store = {
  bytes: 1,
  blobs: 2,
  limitBytes: 3,
  limitReason: 'max_size',
  freeBytes: 4,
  partialBytes: 5,
  pinnedBytes: 6,
  scanned: true,
};
const daemon: NonNullable<StatsReport['daemon']> = {
  pid: 7,
  startedAt: '2026-01-01T00:00:00.000Z',
  uptimeSeconds: 8,
  lru: { backend: 'embedded', up: true },
  upstreams: [],
  uploads: [],
  scrub: { running: null, endedAt: null, damagedFiles: 1, damaged: [] },
  downloads: [],
  requests: { hit: 1, miss: 2, joined: 3, stale: 4, passthrough: 5, error: 6 },
  servedBytes: 9,
  upstreamBytes: 10,
  hitRatio: { requests: 0.5, bytes: null },
  evictions: { blobs: 0, bytes: 0 },
};

/** The URL of a listener for operators over such a report. */
async function serve(report: StatsReport, isLoggedIn = true): Promise<string> {
  const { observer, logger } = new Recorder();
  const handle = createOpsApp({
    observer,
    logger,
    accessLog: false,
    stats: { access: { isLoggedIn: async () => isLoggedIn }, read: async () => report },
    ready: () => ({ ok: true, detail: {} }),
    metricsPath: '/metrics',
    renderMetrics: async () => ({ contentType: 'text/plain', body: '' }),
  });
  const listener = await Listener.open({ addresses: [{ host: '127.0.0.1', port: 0 }], handle, logger });
  onTestFinished(() => listener.close({ drainMs: 0 }));
  return listener.urls[0] ?? '';
}

const upload = { startedAt: '2026-01-01T00:00:00.000Z', bytes: 1, bytesPerSecond: 2 };
const damage = {
  digest: progress.digest,
  problem: 'damaged',
  repositories: ['team/secret'],
  foundAt: '2026-01-01T00:00:00.000Z',
} as const;

test('the report, without the path, and without names and digests of transfers and damaged files', async () => {
  const downloads = [{ ...progress, repository: 'docker.io/secret/name' }, progress];
  const { digest: _digest, ...figures } = progress;
  const { damaged: _damaged, ...scrub } = daemon.scrub;
  const url = await serve({
    version: '1',
    store: { ...store, path: '/srv/secret' },
    daemon: {
      ...daemon,
      downloads,
      uploads: [{ ...upload, repository: 'team/secret', user: 'jo' }],
      scrub: { ...daemon.scrub, damaged: [damage] },
    },
  });
  const { status, headers, body } = await get(url, '/api/v1/stats');
  expect([status, headers.get('content-type'), headers.get('cache-control')]).toEqual([
    200,
    'application/json',
    'no-store',
  ]);
  expect(JSON.parse(body.toString())).toEqual({
    version: '1',
    store,
    daemon: { ...daemon, scrub, downloads: [figures, figures], uploads: [{ ...upload, user: null }] },
  });
  expect((await head(url, '/api/v1/stats')).status).toBe(200);
  expect((await get(url, '/healthz')).status).toBe(200);
});

test('refused: without a login where one is needed, other methods, other paths', async () => {
  const url = await serve({ version: '1', store, daemon: null }, false);
  expect((await get(url, '/api/v1/stats')).status).toBe(401);
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    expect((await request(url, { path: '/api/v1/stats', method }).done).status).toBe(405);
    expect((await request(url, { path: '/api/v1/evict', method }).done).status).toBe(403);
  }
});
