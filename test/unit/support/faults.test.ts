import { describe, expect, test } from 'vitest';
import { type CallOptions, get, head, request } from '../../support/client.ts';
import { patternBlob } from '../../support/content.ts';
import * as faults from '../../support/faults.ts';
import { Gate } from '../../support/gates.ts';
import { buildImage } from '../../support/images.ts';
import { type FakeUpstreamOptions, startFakeUpstream } from '../../support/upstream.ts';

const name = 'library/alpine';
const size = 1_000_000;
const big = patternBlob('big', size);
const whole = big.slice(0, size);
const { digest } = big;
const blobPath = `/v2/${name}/blobs/${digest}`;
const manifestPath = `/v2/${name}/manifests/1`;

/** `blob` follows the redirect if there is one. */
async function start(options: FakeUpstreamOptions = {}) {
  const upstream = await startFakeUpstream(options);
  const image = buildImage({ layers: [big] });
  upstream.put(name, image, '1');
  const blob = async (call: CallOptions = {}) => {
    const ca = upstream.caPem;
    if (options.redirect === undefined) return get(upstream.url, blobPath, { ca, ...call });
    const location = new URL((await get(upstream.url, blobPath, { ca })).headers.get('location') ?? '');
    return get(location.origin, location.pathname + location.search, { ca, ...call });
  };
  return { upstream, image, blob };
}

const kinds: [string, FakeUpstreamOptions][] = [
  ['plain', {}],
  ['redirected', { redirect: true }],
  ['over TLS', { tls: true }],
  ['chunked', { quirks: { chunked: true } }],
];

describe.each(kinds)('the body of a blob, %s,', (_kind, options) => {
  test.each([0, 1, 500_000, size - 1])('is cut by FIN after exactly %i bytes, once', async bytes => {
    const { upstream, blob } = await start(options);
    upstream.fault({ digest }, faults.cut(bytes));
    const broken = await blob();
    expect(broken).toMatchObject({ status: 200, bytes, end: 'fin-early' });
    expect(broken.body.equals(whole.subarray(0, bytes))).toBe(true);
    expect(upstream.contentBytes('blob')).toBe(bytes);
    expect(await blob()).toMatchObject({ sha256: digest, end: 'complete' });
  });

  test.each([0, 500_000, size - 1])('is reset after exactly %i bytes', async bytes => {
    const { upstream, blob } = await start(options);
    upstream.fault({ digest }, faults.reset(bytes));
    expect(await blob()).toMatchObject({ status: 200, bytes, end: 'reset' });
    expect(upstream.contentBytes('blob')).toBe(bytes);
  });

  test('has one wrong bit and nothing else wrong', async () => {
    const { upstream, blob } = await start(options);
    upstream.fault({ digest }, faults.flip(700_000));
    const { body, end } = await blob();
    expect(end).toBe('complete');
    expect(body[700_000]).toBe((whole[700_000] ?? 0) ^ 1);
    body[700_000] = whole[700_000] ?? 0;
    expect(body.equals(whole)).toBe(true);
  });
});

test('a reset over TLS reaches the client as a reset of TCP', async () => {
  const { upstream } = await start({ tls: true });
  upstream.fault({ digest }, faults.reset(10));
  expect(await get(upstream.url, blobPath, { ca: upstream.caPem })).toMatchObject({ end: 'reset' });
});

describe('a body', () => {
  test('of a range is cut after bytes of its own, and flipped at the offset of the content', async () => {
    const { upstream, blob } = await start();
    upstream.fault({ digest }, { ...faults.cut(10), ...faults.flip(500_003) });
    const { bytes, body } = await blob({ headers: { Range: 'bytes=500000-' } });
    expect(bytes).toBe(10);
    const expected = Buffer.from(whole.subarray(500_000, 500_010));
    expected[3] = (expected[3] ?? 0) ^ 1;
    expect(body.equals(expected)).toBe(true);
    upstream.fault({ digest }, faults.flip(0));
    expect((await blob({ headers: { Range: 'bytes=500000-' } })).body.equals(whole.subarray(500_000))).toBe(
      true,
    );
  });

  test.each([0, 300_000])('is held after %i bytes until the gate is released', async bytes => {
    const { upstream } = await start();
    const gate = upstream.holdAfter({ digest }, bytes);
    const call = request(upstream.url, { path: blobPath });
    await gate.reached;
    await call.head;
    await call.atLeast(bytes);
    expect([call.bytes, gate.arrivals, upstream.contentBytes('blob')]).toEqual([bytes, 1, bytes]);
    gate.release();
    expect(await call.done).toMatchObject({ sha256: digest, end: 'complete' });
  });

  test('that stalls for ever ends when the client leaves', async () => {
    const { upstream } = await start();
    const rule = upstream.fault({ digest }, faults.stall(1000));
    const call = request(upstream.url, { path: blobPath });
    await call.atLeast(1000);
    call.abort();
    expect(await call.done).toMatchObject({ bytes: 1000, end: 'reset' });
    expect(rule.used).toBe(1);
  });

  test('drips and is still whole', async () => {
    const { upstream, blob } = await start();
    upstream.fault({ digest }, faults.drip(100_000, 1));
    expect(await blob()).toMatchObject({ sha256: digest, end: 'complete' });
    const gate = new Gate();
    upstream.fault({ digest }, { ...faults.drip(7, 1), ...faults.stall(10, gate) });
    const call = request(upstream.url, { path: blobPath });
    await gate.reached;
    await call.atLeast(10);
    expect(call.bytes).toBe(10);
    call.abort();
  });

  test('is wholly another one with its own honest length', async () => {
    const { upstream, blob } = await start();
    upstream.fault({ digest }, faults.replaceBody('other'));
    const { status, body, end, headers } = await blob();
    expect([status, body.toString(), end, headers.get('content-length')]).toEqual([
      200,
      'other',
      'complete',
      '5',
    ]);
  });

  test('is shorter or longer than the content and says so', async () => {
    const { upstream, blob } = await start();
    upstream.fault({ digest }, faults.truncate(999));
    const short = await blob();
    expect([short.bytes, short.end, short.headers.get('content-length')]).toEqual([999, 'complete', '999']);
    upstream.fault({ digest }, faults.extend(70_000));
    const long = await blob();
    expect([long.bytes, long.end, long.headers.get('content-length')]).toEqual([
      1_070_000,
      'complete',
      '1070000',
    ]);
    expect(long.body.subarray(0, size).equals(whole)).toBe(true);
  });

  test('does not keep what its Content-Length promises', async () => {
    const { upstream, blob } = await start();
    upstream.fault({ digest }, faults.declareLength(size + 1));
    expect(await blob()).toMatchObject({ bytes: size, end: 'fin-early' });
    upstream.fault({ digest }, faults.declareLength(size - 10));
    expect(await blob()).toMatchObject({ bytes: size - 10, end: 'complete', surplusBytes: 10 });
  });

  test('is huge without being held in memory', async () => {
    const { upstream } = await start();
    upstream.fault({ reference: '1' }, faults.hugeBody(30_000_000));
    expect(await get(upstream.url, manifestPath, { keep: false })).toMatchObject({
      bytes: 30_000_000,
      end: 'complete',
    });
  });

  test('is all of it although a range was asked', async () => {
    const { upstream, blob } = await start();
    upstream.fault({ digest }, faults.ignoreRange());
    expect(await blob({ headers: { Range: 'bytes=5-' } })).toMatchObject({ status: 200, sha256: digest });
    expect(await blob({ headers: { Range: 'bytes=5-' } })).toMatchObject({ status: 206, bytes: size - 5 });
  });
});

describe('instead of an answer comes', () => {
  test('a status with headers and a registry error, or the body given', async () => {
    const { upstream } = await start();
    upstream.fault({ kind: 'manifest' }, faults.answer(429, { 'Retry-After': '3' }));
    const refused = await get(upstream.url, manifestPath);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '3']);
    expect(JSON.parse(refused.body.toString()).errors[0].code).toBe('TOOMANYREQUESTS');
    upstream.fault({ kind: 'manifest' }, faults.answer(502, {}, '<html>'));
    expect((await get(upstream.url, manifestPath)).body.toString()).toBe('<html>');
    expect(upstream.contentBytes('manifest')).toBe(0);
  });

  test('the same to a HEAD, without its body', async () => {
    const { upstream } = await start();
    upstream.fault({ kind: 'manifest' }, faults.answer(500));
    expect(await head(upstream.url, manifestPath)).toMatchObject({ status: 500, bytes: 0, end: 'complete' });
  });

  test('a redirect to any URL', async () => {
    const { upstream } = await start();
    upstream.fault({ digest }, faults.redirectTo('http://169.254.169.254/latest', 302));
    const { status, headers, bytes } = await get(upstream.url, blobPath);
    expect([status, headers.get('location'), bytes]).toEqual([302, 'http://169.254.169.254/latest', 0]);
  });

  test.each([
    ['fin', 'fin-early'],
    ['reset', 'reset'],
  ] as const)('the end of the connection by %s, and the log has status 0', async (by, end) => {
    const { upstream } = await start();
    upstream.fault({ digest }, faults.hangUp(by));
    expect(await get(upstream.url, blobPath)).toMatchObject({ status: 0, end });
    expect(upstream.requests.map(({ status }) => status)).toEqual([0]);
  });

  test('nothing until the gate opens, then the right answer', async () => {
    const { upstream, image } = await start();
    const gate = upstream.holdHeaders({ kind: 'manifest' });
    const call = request(upstream.url, { path: manifestPath });
    await gate.reached;
    expect(upstream.requests.map(({ status }) => status)).toEqual([0]);
    gate.release();
    expect(await call.done).toMatchObject({ status: 200, sha256: image.digest });
    upstream.fault({ kind: 'manifest' }, faults.slowHeaders(5));
    expect(await get(upstream.url, manifestPath)).toMatchObject({ sha256: image.digest });
  });

  test('the right one under a wrong or missing header', async () => {
    const { upstream, image } = await start();
    upstream.fault({ kind: 'manifest' }, faults.claimDigest('sha256:wrong'));
    const wrong = await head(upstream.url, manifestPath);
    expect(wrong.headers.get('docker-content-digest')).toBe('sha256:wrong');
    upstream.fault(
      { kind: 'manifest' },
      faults.changeHeaders({ 'content-type': 'text/plain', etag: undefined }),
    );
    const { headers, sha256 } = await get(upstream.url, manifestPath);
    expect([headers.get('content-type'), headers.has('etag'), sha256]).toEqual([
      'text/plain',
      false,
      image.digest,
    ]);
  });
});

describe('a fault strikes', () => {
  const status = async (url: string, path = manifestPath) => (await get(url, path)).status;

  test('once unless told otherwise; k times; from the nth on; always until removed', async () => {
    const { upstream } = await start();
    const series = async (count: number) => {
      const statuses: number[] = [];
      for (let turn = 0; turn < count; turn += 1) statuses.push(await status(upstream.url));
      return statuses;
    };
    upstream.fault({ kind: 'manifest' }, faults.answer(500));
    expect(await series(2)).toEqual([500, 200]);
    upstream.fault({ kind: 'manifest' }, faults.answer(500), { times: 2 });
    expect(await series(3)).toEqual([500, 500, 200]);
    upstream.fault({ kind: 'manifest' }, faults.answer(500), { nth: 2 });
    expect(await series(3)).toEqual([200, 500, 200]);
    const always = upstream.fault({ kind: 'manifest' }, faults.answer(500), { times: 'always' });
    expect(await series(3)).toEqual([500, 500, 500]);
    always.remove();
    expect([await series(1), always.used]).toEqual([[200], 3]);
  });

  test('only what matches in kind, method, repository and reference', async () => {
    const { upstream } = await start();
    for (const match of [
      { kind: 'tags' },
      { method: 'HEAD' },
      { repository: 'other' },
      { reference: '2' },
      { digest },
    ] as const) {
      upstream.fault(match, faults.answer(500), { times: 'always' });
    }
    expect(await status(upstream.url)).toBe(200);
    expect(await head(upstream.url, manifestPath)).toMatchObject({ status: 500 });
    expect(await status(upstream.url, blobPath)).toBe(500);
    expect(await status(upstream.url, `/v2/${name}/tags/list`)).toBe(500);
  });

  test('in the order of adding, each counting for itself', async () => {
    const { upstream } = await start();
    upstream.fault({ kind: 'manifest' }, faults.answer(501));
    upstream.fault({ kind: 'manifest' }, faults.answer(502));
    upstream.fault({ kind: 'manifest' }, faults.answer(503), { nth: 3 });
    expect([await status(upstream.url), await status(upstream.url), await status(upstream.url)]).toEqual([
      501, 502, 503,
    ]);
  });

  test('at a redirected blob: the registry for a status, the storage for the body or when named', async () => {
    const { upstream, blob } = await start({ redirect: true });
    upstream.fault({ digest }, faults.cut(10));
    expect(await head(upstream.url, blobPath)).toMatchObject({ status: 307 });
    expect(await blob()).toMatchObject({ bytes: 10, end: 'fin-early' });
    upstream.fault({ digest, host: 'storage' }, faults.answer(503));
    expect(await blob()).toMatchObject({ status: 503 });
    const before = new URL((await get(upstream.url, blobPath)).headers.get('location') ?? '');
    upstream.fault({ digest }, faults.answer(503));
    expect(await get(before.origin, before.pathname + before.search)).toMatchObject({ status: 200 });
    expect(await get(upstream.url, blobPath)).toMatchObject({ status: 503 });
  });
});
