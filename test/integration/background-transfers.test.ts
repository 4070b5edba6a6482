/** A download that its clients have left is background work: it never keeps from starting what a client waits for. */
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { cut, stall } from '../support/faults.ts';
import { Gate } from '../support/gates.ts';
import { startTestMirror, type TestMirror } from '../support/mirror.ts';
import { blobLine } from '../support/request-log.ts';
import { type FakeUpstream, startFakeUpstream } from '../support/upstream.ts';

const size = 4_000_000;
const pathOf = (digest: string) => `/v2/library/big/blobs/${digest}`;

function putBlobs(upstream: FakeUpstream, count: number) {
  const blobs = Array.from({ length: count }, (_, n) => patternBlob(`background ${n}`, size));
  for (const blob of blobs) upstream.putBlob('library/big', blob.digest, blob);
  return blobs;
}

const followers = (mirror: TestMirror) => mirror.metric('cistern_download_followers{upstream="docker.io"}');

test('all connections taken by downloads without clients: a cold blob comes at once, and they go on afterwards', async () => {
  const upstream = await startFakeUpstream();
  const [first, second, wanted] = putBlobs(upstream, 3);
  if (first === undefined || second === undefined || wanted === undefined) throw new Error('three blobs');
  const gates = [first, second].map(blob => upstream.holdAfter({ digest: blob.digest }, size / 2));
  const mirror = await startTestMirror({ upstream, hub: { max_transfers: 2, timeouts: { stall: '5m' } } });
  for (const { digest } of [first, second]) {
    const call = request(mirror.url, { path: pathOf(digest), keep: false });
    await call.atLeast(size / 2 - 1);
    call.abort();
  }
  await expect.poll(() => followers(mirror)).toBe(0);
  expect(await get(mirror.url, pathOf(wanted.digest), { keep: false })).toMatchObject({
    status: 200,
    sha256: wanted.digest,
    end: 'complete',
  });
  await upstream.log.until(entries => entries.length === 4);
  for (const gate of gates) gate.release();
  await mirror.settled();
  for (const { digest } of [first, second])
    expect(await get(mirror.url, pathOf(digest), { keep: false })).toMatchObject({ sha256: digest });
  // the youngest gave its connection away, and lost no byte that had come
  expect(upstream.lines()).toEqual([
    blobLine(first.digest),
    blobLine(second.digest),
    blobLine(wanted.digest),
    blobLine(second.digest, `bytes=${size / 2}-`),
  ]);
  expect(mirror.log.filter(line => line['level'] === 'warn')).toEqual([]);
});

test('a client that waits in the queue starts at the moment in which another download loses its last client', async () => {
  const upstream = await startFakeUpstream();
  const [held, wanted] = putBlobs(upstream, 2);
  if (held === undefined || wanted === undefined) throw new Error('two blobs');
  const gate = upstream.holdAfter({ digest: held.digest }, size / 2);
  const timeouts = { stall: '5m', first_byte: '200ms' };
  const mirror = await startTestMirror({ upstream, hub: { max_transfers: 1, timeouts } });
  const leaving = request(mirror.url, { path: pathOf(held.digest), keep: false });
  await leaving.atLeast(size / 2 - 1);
  const waiting = request(mirror.url, { path: pathOf(wanted.digest), keep: false });
  await expect.poll(() => followers(mirror)).toBe(2);
  // longer than first_byte: the queue is the mirror's own, and no silence of the upstream
  await delay(600);
  expect(upstream.lines()).toEqual([blobLine(held.digest)]);
  leaving.abort();
  expect(await waiting.done).toMatchObject({ status: 200, sha256: wanted.digest, end: 'complete' });
  gate.release();
  expect(await get(mirror.url, pathOf(held.digest), { keep: false })).toMatchObject({ sha256: held.digest });
  expect(upstream.lines()).toEqual([
    blobLine(held.digest),
    blobLine(wanted.digest),
    blobLine(held.digest, `bytes=${size / 2}-`),
  ]);
  expect(await mirror.metric('cistern_upstream_up{upstream="docker.io"}')).toBe(1);
});

/** Half of the blob, then a minute of nothing (by the mirror's clock), then a few bytes more. */
async function startDripping() {
  const upstream = await startFakeUpstream();
  const [blob] = putBlobs(upstream, 1);
  if (blob === undefined) throw new Error('one blob');
  const gate = new Gate();
  upstream.fault({ digest: blob.digest }, { ...stall(size / 2, gate), ...cut(size / 2 + 1000) });
  const clock = { ms: Date.now() };
  const timeouts = { stall: '5m', min_rate: '1MiB' };
  const mirror = await startTestMirror({ upstream, hub: { timeouts }, now: () => clock.ms });
  const client = request(mirror.url, { path: pathOf(blob.digest), keep: false });
  await client.atLeast(size / 2);
  const drip = () => {
    clock.ms += 61_000;
    gate.release();
  };
  return { upstream, mirror, client, drip, digest: blob.digest };
}

test('an upstream that only drips is asked anew, from where it was', async () => {
  const { upstream, mirror, client, drip, digest } = await startDripping();
  drip();
  expect(await client.done).toMatchObject({ sha256: digest, end: 'complete' });
  expect(upstream.lines()).toEqual([blobLine(digest), blobLine(digest, `bytes=${size / 2 + 1000}-`)]);
  const resumed = 'cistern_downloads_resumed_total{upstream="docker.io",cause="slow"}';
  expect(await mirror.metric(resumed)).toBe(1);
});

test('a download that only drips, and that its client has left, ends; what came is kept for the next one', async () => {
  const { upstream, mirror, client, drip, digest } = await startDripping();
  client.abort();
  await expect.poll(() => followers(mirror)).toBe(0);
  drip();
  await expect.poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);
  expect(upstream.lines()).toEqual([blobLine(digest)]);
  expect(await get(mirror.url, pathOf(digest), { keep: false })).toMatchObject({ sha256: digest });
  expect(upstream.lines()).toEqual([blobLine(digest), blobLine(digest, `bytes=${size / 2 + 1000}-`)]);
});
