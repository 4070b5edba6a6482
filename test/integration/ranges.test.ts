/** Ranges of cold, growing and held blobs (RFC 9110 14): right bytes, right framing, and what they cost upstream. */
import { describe, expect, test } from 'vitest';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { startTestMirror } from '../support/mirror.ts';
import { blobLine } from '../support/request-log.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const size = 30_000_000;
const blob = patternBlob('ranges', size);
const path = `/v2/library/big/blobs/${blob.digest}`;

async function start() {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  return { upstream, mirror: await startTestMirror({ upstream }) };
}

async function expectSpan(mirror: { url: string }, range: string, from: number, end: number): Promise<void> {
  const result = await get(mirror.url, path, { headers: { Range: range } });
  expect(result.status).toBe(206);
  expect(result.headers.get('content-range')).toBe(`bytes ${from}-${end - 1}/${size}`);
  expect(result.headers.get('content-length')).toBe(String(end - from));
  expect(result.body.equals(blob.slice(from, end))).toBe(true);
}

describe('of a held blob', () => {
  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=100-199', 100, 200],
    [`bytes=${size - 5}-`, size - 5, size],
    ['bytes=-7', size - 7, size],
    [`bytes=${size - 5}-${size + 100}`, size - 5, size],
  ])('%s', async (range, from, end) => {
    const { upstream, mirror } = await start();
    await get(mirror.url, path, { keep: false });
    await expectSpan(mirror, range, from, end);
    expect(upstream.lines()).toEqual([blobLine(blob.digest)]);
  });

  test('not satisfiable: 416 with the size', async () => {
    const { mirror } = await start();
    await get(mirror.url, path, { keep: false });
    const result = await get(mirror.url, path, { headers: { Range: `bytes=${size}-` } });
    expect(result.status).toBe(416);
    expect(result.headers.get('content-range')).toBe(`bytes */${size}`);
    expect(JSON.parse(result.body.toString()).errors[0].code).toBe('RANGE_INVALID');
  });
});

describe('of a cold blob', () => {
  test.each([
    ['bytes=1000000-', 1_000_000, size],
    ['bytes=-1000', size - 1000, size],
  ])('%s starts one download of the whole', async (range, from, end) => {
    const { upstream, mirror } = await start();
    await expectSpan(mirror, range, from, end);
    expect((await get(mirror.url, path, { keep: false })).sha256).toBe(blob.digest);
    expect(upstream.lines()).toEqual([blobLine(blob.digest)]);
  });

  test('a closed one that turns out to reach the last byte is verified: the rest is fetched', async () => {
    const { upstream, mirror } = await start();
    await expectSpan(mirror, `bytes=${size - 10}-${size - 1}`, size - 10, size);
    expect((await get(mirror.url, path, { keep: false })).sha256).toBe(blob.digest);
    expect(upstream.lines()).toEqual([
      blobLine(blob.digest, `bytes=${size - 10}-${size - 1}`),
      blobLine(blob.digest, `bytes=0-${size - 11}`),
    ]);
    expect(upstream.contentBytes('blob')).toBe(size);
  });

  test('a closed one that ends before the last byte starts nothing and costs its own bytes, once', async () => {
    const { upstream, mirror } = await start();
    await expectSpan(mirror, 'bytes=1000-1999', 1000, 2000);
    await expectSpan(mirror, 'bytes=1200-1899', 1200, 1900);
    expect(upstream.lines()).toEqual([blobLine(blob.digest, 'bytes=1000-1999')]);
    expect(upstream.contentBytes('blob')).toBe(1000);
  });

  test('beyond its end: 416', async () => {
    const { mirror } = await start();
    expect(
      (await get(mirror.url, path, { headers: { Range: `bytes=${size + 5}-${size + 9}` } })).status,
    ).toBe(416);
    expect((await get(mirror.url, path, { headers: { Range: `bytes=${size + 5}-` } })).status).toBe(416);
  });
});

describe('of a blob that is being filled', () => {
  test('inside and near the front: from the same transfer', async () => {
    const { upstream, mirror } = await start();
    const gate = upstream.holdAfter({ digest: blob.digest }, size / 2);
    const whole = request(mirror.url, { path, keep: false });
    await gate.reached;
    await whole.atLeast(10_000_000);
    await expectSpan(mirror, 'bytes=1000-1999', 1000, 2000);
    const near = expectSpan(
      mirror,
      `bytes=${size / 2 + 1000}-${size / 2 + 1999}`,
      size / 2 + 1000,
      size / 2 + 2000,
    );
    const open = expectSpan(mirror, `bytes=${size - 100}-`, size - 100, size);
    gate.release();
    await Promise.all([near, open]);
    expect((await whole.done).sha256).toBe(blob.digest);
    expect(upstream.lines()).toEqual([blobLine(blob.digest)]);
  });

  test('a range far ahead gets its headers long before its bytes', async () => {
    const { upstream, mirror } = await start();
    const gate = upstream.holdAfter({ digest: blob.digest }, size / 2);
    const whole = request(mirror.url, { path, keep: false });
    await gate.reached;
    const call = request(mirror.url, { path, headers: { Range: `bytes=${size - 100}-` } });
    const head = await call.head;
    expect(head.status).toBe(206);
    expect(head.headers.get('content-range')).toBe(`bytes ${size - 100}-${size - 1}/${size}`);
    expect(call.bytes).toBe(0);
    gate.release();
    expect(await call.done).toMatchObject({ bytes: 100, end: 'complete' });
    await whole.done;
  });

  test('several open-ended ranges of one blob, each left early, cost one transfer', async () => {
    const { upstream, mirror } = await start();
    const chunk = 8_000_000;
    const starts = Array.from({ length: Math.ceil(size / chunk) }, (_, index) => index * chunk);
    await Promise.all(
      starts.map(async from => {
        const call = request(mirror.url, { path, headers: { Range: `bytes=${from}-` }, keep: false });
        expect((await call.head).status).toBe(206);
        await call.atLeast(Math.min(chunk, size - from));
        call.abort('fin');
      }),
    );
    await get(mirror.url, path, { keep: false });
    expect(upstream.lines()).toEqual([blobLine(blob.digest)]);
    expect(upstream.contentBytes('blob')).toBe(size);
  });
});

describe('several ranges at once', () => {
  const ranges = [
    [100, 199],
    [10_000_000, 10_000_999],
    [size - 50, size - 1],
  ] as const;
  const header = `bytes=${ranges.map(([first, last]) => `${first}-${last}`).join(',')}`;

  test.each(['hot', 'cold'])('of a %s blob: the right parts', async state => {
    const { upstream, mirror } = await start();
    if (state === 'hot') await get(mirror.url, path, { keep: false });
    // the size of a cold one is asked by one HEAD
    const result = await get(mirror.url, path, { headers: { Range: header } });
    expect(result.status).toBe(206);
    for (const [first, last] of ranges) {
      const part = Buffer.concat([
        Buffer.from(`Content-Range: bytes ${first}-${last}/${size}\r\n\r\n`),
        blob.slice(first, last + 1),
      ]);
      expect(result.body.includes(part)).toBe(true);
    }
    if (state === 'hot') expect(upstream.lines()).toEqual([blobLine(blob.digest)]);
  });
});
