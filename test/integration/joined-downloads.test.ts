/** Whatever two clients ask for at once, one download writes a blob's file, and what one asks never spoils the other's pull. */
import { expect, test } from 'vitest';
import { TransferHandoff } from '../../src/cached/download/reserved-room.ts';
import type { Chunk } from '../../src/cached/download/resume.ts';
import { ociManifest } from '../../src/oci/media-type.ts';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { cut, extend, flip, truncate } from '../support/faults.ts';
import { startTestMirror } from '../support/mirror.ts';
import { blobLine } from '../support/request-log.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const size = 6_000_000;
const blob = patternBlob('joined', size);
const path = `/v2/library/big/blobs/${blob.digest}`;

test('a range that turns out to reach the end joins the download that began meanwhile', async () => {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  const mirror = await startTestMirror({ upstream });
  const asked = upstream.holdHeaders({ digest: blob.digest });
  const half = upstream.holdAfter({ digest: blob.digest }, size / 2);
  const tail = request(mirror.url, { path, headers: { Range: `bytes=${size - 10}-${size - 1}` } });
  await asked.reached;
  const whole = request(mirror.url, { path, keep: false });
  await whole.atLeast(size / 2 - 1);
  asked.release();
  const late = get(mirror.url, path, { keep: false });
  // The range has been answered, and its client waits for the end of the download.
  await upstream.log.until(entries => (entries[0]?.bodyBytesSent ?? 0) === 10);
  await expect.poll(() => mirror.metric('cistern_download_followers{upstream="docker.io"}')).toBe(3);
  half.release();
  for (const result of [await whole.done, await late])
    expect(result).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
  expect((await tail.done).body).toEqual(blob.slice(size - 10, size));
  expect(upstream.lines()).toEqual([
    blobLine(blob.digest, `bytes=${size - 10}-${size - 1}`),
    blobLine(blob.digest, `bytes=0-${size - 11}`),
  ]);
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({ sha256: blob.digest });
});

test('the last byte of a blob whose length was wrong is not given out as the last byte of another length', async () => {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  const mirror = await startTestMirror({ upstream });
  upstream.fault({ digest: blob.digest }, truncate(size / 2));
  const result = await get(mirror.url, path, { headers: { Range: 'bytes=-1' } });
  if (result.status === 206 && result.end === 'complete') {
    expect(result.headers.get('content-range')).toBe(`bytes ${size - 1}-${size - 1}/${size}`);
    expect(result.body).toEqual(blob.slice(size - 1, size));
  } else expect([0, 206, 404]).toContain(result.status);
  expect(await get(mirror.url, path, { headers: { Range: 'bytes=0-' }, keep: false })).toMatchObject({
    sha256: blob.digest,
    end: 'complete',
  });
});

test('a manifest that lies about a length spoils no pull through another repository', async () => {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  upstream.putBlob('evil/liar', blob.digest, blob);
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: blob.digest, size: 7 };
  const lie = { schemaVersion: 2, mediaType: ociManifest, config, layers: [] };
  upstream.putManifest('evil/liar', Buffer.from(JSON.stringify(lie)), ociManifest, 'latest');
  const mirror = await startTestMirror({ upstream });
  await get(mirror.url, '/v2/evil/liar/manifests/latest');
  const asked = upstream.holdHeaders({ digest: blob.digest });
  const misled = get(mirror.url, `/v2/evil/liar/blobs/${blob.digest}`);
  await asked.reached;
  const honest = get(mirror.url, path, { keep: false });
  await expect.poll(() => mirror.metric('cistern_download_followers{upstream="docker.io"}')).toBe(2);
  asked.release();
  expect(await misled).toMatchObject({ status: 404 });
  expect(await honest).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
});

test('a transfer that a client waits for never queues behind others', async () => {
  const upstream = await startFakeUpstream();
  const other = patternBlob('joined other', size);
  upstream.putBlob('library/big', blob.digest, blob);
  upstream.putBlob('library/big', other.digest, other);
  const mirror = await startTestMirror({ upstream, hub: { max_transfers: 8, timeouts: { stall: '5m' } } });
  const held = upstream.holdAfter({ digest: blob.digest }, size / 2);
  const first = request(mirror.url, { path, keep: false });
  await held.reached;
  const result = await get(mirror.url, `/v2/library/big/blobs/${other.digest}`, { keep: false });
  expect(result).toMatchObject({ sha256: other.digest, end: 'complete' });
  held.release();
  expect(await first.done).toMatchObject({ sha256: blob.digest });
});

test('finish: never does not end the transfer that its only client reads past a full store', async () => {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  const mirror = await startTestMirror({
    upstream,
    hub: { finish: 'never' },
    config: { store: { max_size: '2MB' } },
  });
  await mirror.settled();
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({
    status: 200,
    sha256: blob.digest,
    end: 'complete',
  });
  expect(upstream.lines()).toEqual([blobLine(blob.digest)]);
});

test('a head is not glued to a tail when the blob turns out to have another length in the middle', async () => {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  const mirror = await startTestMirror({ upstream });
  upstream.fault({ digest: blob.digest }, { ...flip(10), ...extend(10), ...cut(size / 2) });
  const first = await get(mirror.url, path);
  expect(first).toMatchObject({ status: 200, end: 'fin-early' });
  expect(first.bytes).toBeGreaterThan(0);
  const resumed = await get(mirror.url, path, { headers: { Range: `bytes=${first.bytes}-` }, keep: false });
  expect(resumed).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
});

test('a transfer that a full store hands over ends when no client takes it, even before its first read', async () => {
  let isEnded = false;
  async function* transfer(): AsyncGenerator<Chunk, void, void> {
    try {
      for (let at = 0; ; at += 1) yield { at, bytes: Buffer.from('x') };
    } finally {
      isEnded = true;
    }
  }
  const chunks = transfer();
  const first = await chunks.next();
  if (first.done === true) throw new Error('expected a chunk');
  let aborts = 0;
  const handoff = new TransferHandoff(() => {
    aborts += 1;
  });
  handoff.offer(first.value, chunks);
  handoff.drop();
  expect((await chunks.next()).done).toBe(true);
  expect({ isEnded, aborts, offered: handoff.isOffered, taken: handoff.take() }).toEqual({
    isEnded: true,
    aborts: 1,
    offered: true,
    taken: undefined,
  });
});
