/** No head without a byte: what a client gets from an upstream that answers a blob and sends nothing (docs/behaviour.md, "A blob"). */
import { describe, expect, test } from 'vitest';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { drip, stall } from '../support/faults.ts';
import { startTestMirror } from '../support/mirror.ts';
import { blobLine } from '../support/request-log.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const large = patternBlob('no byte', 40_000_000);
const small = patternBlob('no byte', 1000);
const pathOf = (digest: string) => `/v2/library/big/blobs/${digest}`;

async function start(config: Record<string, unknown> = {}) {
  const upstream = await startFakeUpstream();
  for (const blob of [large, small]) upstream.putBlob('library/big', blob.digest, blob);
  const mirror = await startTestMirror({
    upstream,
    hub: { timeouts: { first_byte: '400ms', stall: '30s' } },
    config,
  });
  return { upstream, mirror };
}

describe('an upstream that answers with a length and sends no byte: 404 at first_byte, so that the client goes on', () => {
  test.each([
    ['the whole', large, {}, undefined],
    ['a small one', small, {}, undefined],
    ['from a byte on', large, { Range: 'bytes=1000-' }, undefined],
    ['a closed range', large, { Range: 'bytes=5000000-5999999' }, 'bytes=5000000-5999999'],
    ['several ranges', large, { Range: 'bytes=5000000-5999999,7000000-7000001' }, undefined],
  ])('%s', async (what, blob, headers, range) => {
    const { upstream, mirror } = await start();
    upstream.fault({ digest: blob.digest }, stall(0), { times: 'always' });
    const result = await get(mirror.url, pathOf(blob.digest), { headers });
    expect(result).toMatchObject({ status: 404, end: 'complete' });
    expect(JSON.parse(result.body.toString()).errors[0]).toMatchObject({
      code: 'BLOB_UNKNOWN',
      detail: { reason: 'timeout' },
    });
    const gets = upstream.lines().filter(line => line.startsWith('GET'));
    if (what !== 'several ranges') expect(gets).toEqual([blobLine(blob.digest, range)]);
  });

  test('without room in the store', async () => {
    const { upstream, mirror } = await start({ store: { max_size: '1MiB' } });
    upstream.fault({ digest: large.digest }, stall(0), { times: 'always' });
    expect(await get(mirror.url, pathOf(large.digest))).toMatchObject({ status: 404 });
  });
});

test('a client that joins a download that has stood still from its first byte on gets 404 too; the download goes on', async () => {
  const { upstream, mirror } = await start();
  const gate = upstream.holdAfter({ digest: large.digest }, 0);
  const first = get(mirror.url, pathOf(large.digest));
  await gate.reached;
  expect(await get(mirror.url, pathOf(large.digest))).toMatchObject({ status: 404 });
  expect(await first).toMatchObject({ status: 404 });
  gate.release();
  const whole = await get(mirror.url, pathOf(large.digest), { keep: false });
  expect(whole).toMatchObject({ status: 200, sha256: large.digest });
  expect(upstream.lines()).toEqual([blobLine(large.digest)]);
});

test('a range far ahead in a download that runs gets its headers alone', async () => {
  const { upstream, mirror } = await start();
  upstream.fault({ digest: large.digest }, drip(20_000, 20));
  const whole = request(mirror.url, { path: pathOf(large.digest), keep: false });
  await whole.firstByte;
  const ahead = request(mirror.url, { path: pathOf(large.digest), headers: { Range: 'bytes=39000000-' } });
  expect(await ahead.head).toMatchObject({ status: 206 });
  ahead.abort();
  whole.abort();
  expect(upstream.lines()).toEqual([blobLine(large.digest)]);
});
