/** What the daily report reads of the metrics: which requests count as what, and the notes, each given once and bounded. */
import { expect, test } from 'vitest';
import { Metrics } from '../../../src/metrics/metrics.ts';
import type { RequestEnd } from '../../../src/telemetry/observer.ts';
import { Recorder } from '../../support/recorder.ts';

const end: RequestEnd = {
  upstream: 'docker.io',
  kind: 'manifest',
  method: 'GET',
  status: 200,
  outcome: 'miss',
  bytes: 100,
  seconds: 0.1,
  firstByteSeconds: 0.1,
};
const asked = { wanted: 'pull', repository: 'docker.io/library/app', reference: 'v1' } as const;

test('pulls are answered GETs of manifests, bytes those of blobs; HEAD, errors and hosted names count nowhere', async () => {
  const metrics = new Metrics({ logger: new Recorder().logger });
  metrics.requestEnded(end);
  metrics.requestEnded({ ...end, outcome: 'joined' });
  metrics.requestEnded({ ...end, method: 'HEAD' });
  metrics.requestEnded({ ...end, status: 503, outcome: 'error' });
  metrics.requestEnded({ ...end, upstream: 'hosted' });
  metrics.requestEnded({ ...end, kind: 'blob', bytes: 5000, outcome: 'hit' });
  metrics.requestEnded({ ...end, kind: 'blob', bytes: 70, status: 404, outcome: 'error' });
  metrics.requestEnded({ ...end, kind: 'tags', bytes: 9 });
  for (const [method, status] of [
    ['GET', 200],
    ['GET', 404],
    ['HEAD', 200],
    ['GET', undefined],
  ] as const)
    metrics.upstreamAnswered('docker.io', 'manifest', method, status);
  metrics.upstreamAnswered('docker.io', 'token', 'GET', 200);
  metrics.upstreamBytes('docker.io', 1234);
  const { sums } = await metrics.readUsage();
  expect(Object.fromEntries(sums)).toEqual({
    'docker.io': { pulls: 2, counted: 1, requests: 3, hits: 2, servedBytes: 5000, fetchedBytes: 1234 },
  });
});

test('notes: who was first and who came after, what came and went in its order, what failed; each is given once', async () => {
  const metrics = new Metrics({ logger: new Recorder().logger });
  metrics.requestEnded({ ...end, asked, manifest: 'sha256:aa' });
  metrics.requestEnded({ ...end, asked, manifest: 'sha256:bb' });
  metrics.requestEnded({ ...end, asked, manifest: 'sha256:bb', outcome: 'hit' });
  metrics.fetchedAhead('docker.io/library/ahead', 'sha256:cc');
  metrics.downloadStarted('docker.io', 'sha256:dd');
  metrics.evicted(10, 1, 'sha256:dd');
  for (let times = 0; times < 2; times += 1)
    metrics.requestEnded({ ...end, asked, status: 503, outcome: 'error', failure: 'unreachable' });
  metrics.requestEnded({ ...end, asked, status: 404, outcome: 'error', failure: 'gone' });
  const { repository } = asked;
  const { notes } = await metrics.readUsage();
  expect(notes).toEqual({
    pulled: [
      { digest: 'sha256:aa', repository, isFetched: true, isPulledAgain: false },
      { digest: 'sha256:bb', repository, isFetched: true, isPulledAgain: true },
      { digest: 'sha256:cc', repository: 'docker.io/library/ahead', isFetched: true, isPulledAgain: false },
    ],
    blobs: [
      { digest: 'sha256:dd', upstream: 'docker.io' },
      { digest: 'sha256:dd', evictedBytes: 10 },
    ],
    failed: [{ repository, reference: 'v1', times: 2 }],
  });
  expect((await metrics.readUsage()).notes).toEqual({ pulled: [], blobs: [], failed: [] });
  for (let number = 0; number < 10_100; number += 1) {
    metrics.evicted(1, 1, `sha256:${number}`);
    metrics.requestEnded({ ...end, asked, manifest: `sha256:${number}` });
  }
  const { pulled, blobs } = (await metrics.readUsage()).notes;
  expect([pulled.length, blobs.length]).toEqual([10_000, 10_000]);
});
