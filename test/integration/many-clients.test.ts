/** Many clients on one cold blob or tag: one transfer, all clients served while it runs. */
import { expect, test } from 'vitest';
import { get, request, requestMany } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { blobLine, manifestLine } from '../support/request-log.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const size = 100_000_000;
const big = patternBlob('big', size);
const path = `/v2/library/big/blobs/${big.digest}`;

async function startWithBig() {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', big.digest, big);
  return { upstream, mirror: await startTestMirror({ upstream }) };
}

test('50 clients on one cold 100 MB blob cost one GET and its bytes once; all have bytes before the second half exists', async () => {
  const { upstream, mirror } = await startWithBig();
  const gate = upstream.holdAfter({ digest: big.digest }, size / 2);
  const calls = requestMany(50, mirror.url, { path });
  await Promise.all(calls.map(call => call.firstByte));
  expect(upstream.contentBytes('blob')).toBeLessThanOrEqual(size / 2);
  gate.release();
  const results = await Promise.all(calls.map(call => call.done));
  for (const result of results)
    expect(result).toMatchObject({ status: 200, sha256: big.digest, end: 'complete' });
  expect(upstream.lines()).toEqual([blobLine(big.digest)]);
  expect(upstream.contentBytes('blob')).toBe(size);
});

test('a client that reads nothing until the other 49 are done slows none of them', async () => {
  const { upstream, mirror } = await startWithBig();
  const lazy = request(mirror.url, { path, keep: false, paused: true });
  const results = await Promise.all(requestMany(49, mirror.url, { path }).map(call => call.done));
  for (const result of results) expect(result).toMatchObject({ sha256: big.digest, end: 'complete' });
  expect(lazy.bytes).toBe(0);
  lazy.resume();
  expect(await lazy.done).toMatchObject({ status: 200, sha256: big.digest, end: 'complete' });
  expect(upstream.lines()).toEqual([blobLine(big.digest)]);
});

test('50 clients on one cold tag cost one manifest GET', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage();
  upstream.put('library/alpine', image, 'latest');
  const mirror = await startTestMirror({ upstream });
  const gate = upstream.holdHeaders({ reference: 'latest' });
  const calls = requestMany(50, mirror.url, { path: '/v2/library/alpine/manifests/latest' });
  await gate.reached;
  gate.release();
  const results = await Promise.all(calls.map(call => call.done));
  for (const result of results) expect(result).toMatchObject({ status: 200, sha256: image.digest });
  expect(upstream.lines()).toEqual([manifestLine('latest')]);
});

test('the transfer goes on when its only client leaves, and the next client gets it without another GET', async () => {
  const { upstream, mirror } = await startWithBig();
  const gate = upstream.holdAfter({ digest: big.digest }, size / 2);
  const call = request(mirror.url, { path, keep: false });
  await call.firstByte;
  call.abort();
  gate.release();
  await upstream.log.until(entries => entries.some(entry => entry.bodyBytesSent === size));
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({ sha256: big.digest, end: 'complete' });
  expect(upstream.lines()).toEqual([blobLine(big.digest)]);
});

test('a held blob is served without any request upstream', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage();
  upstream.put('library/alpine', image, 'latest');
  const mirror = await startTestMirror({ upstream });
  const layer = image.layers[0]?.descriptor.digest ?? '';
  await get(mirror.url, `/v2/library/alpine/blobs/${layer}`);
  upstream.log.clear();
  expect(await get(mirror.url, `/v2/library/alpine/blobs/${layer}`)).toMatchObject({
    status: 200,
    sha256: layer,
  });
  expect(upstream.lines()).toEqual([]);
});

test('cold blobs that clients wait for do not queue behind each other', async () => {
  const upstream = await startFakeUpstream();
  const blobs = Array.from({ length: 6 }, (_, n) => patternBlob(`live ${n}`, 4_000_000));
  for (const blob of blobs) upstream.putBlob('library/big', blob.digest, blob);
  const gates = blobs.map(blob => upstream.holdAfter({ digest: blob.digest }, 2_000_000));
  const mirror = await startTestMirror({ upstream, hub: { max_transfers: 8 } });
  const calls = blobs.map(blob =>
    request(mirror.url, { path: `/v2/library/big/blobs/${blob.digest}`, keep: false }),
  );
  await Promise.all(calls.map(call => call.firstByte));
  for (const gate of gates) gate.release();
  for (const call of calls) expect((await call.done).end).toBe('complete');
});

test('clients that leave in the middle by a reset are no warning and no error in the log', async () => {
  const { upstream, mirror } = await startWithBig();
  const gate = upstream.holdAfter({ digest: big.digest }, size / 2);
  const calls = requestMany(10, mirror.url, { path });
  await Promise.all(calls.map(call => call.atLeast(5_000_000)));
  for (const call of calls) call.abort();
  gate.release();
  await expect.poll(() => mirror.log.filter(line => line['status'] === 200).length).toBe(10);
  expect(mirror.log.filter(line => line['level'] === 'warn' || line['level'] === 'error')).toEqual([]);
});
