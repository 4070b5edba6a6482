/** `http.accel`: which answers leave the bytes to a proxy in front (docs/behaviour.md, "Blobs by a proxy"). A proxy is who comes from 127.0.0.2. */
import { utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type CallResult, get, head, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const size = 3_000_000;
const blob = patternBlob('accel', size);
const hex = blob.digest.slice('sha256:'.length);
const file = `sha256/${hex.slice(0, 2)}/${hex}`;
const path = `/v2/library/alpine/blobs/${blob.digest}`;
const proxy = '127.0.0.2';

async function start(options: { readonly store?: object; readonly accel?: object } = {}) {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/alpine', blob.digest, blob);
  const mirror = await startTestMirror({
    upstream,
    config: {
      http: { trusted_proxies: [proxy], accel: options.accel ?? {} },
      store: { min_free: 0, ...options.store },
    },
  });
  return { upstream, mirror };
}

async function startWithBlob(options: Parameters<typeof start>[0] = {}) {
  const started = await start(options);
  expect(await get(started.mirror.url, path)).toMatchObject({ status: 200, sha256: blob.digest });
  await expect.poll(() => started.mirror.metric('cistern_store_blobs')).toBe(1);
  return started;
}

interface Asked {
  readonly from?: string;
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

/** By the proxy for a client of its own each, because a repeated request is worth a check. */
let clients = 0;
function ask(url: string, { from = proxy, headers = {} }: Asked = {}, what = path): Promise<CallResult> {
  clients += 1;
  return get(url, what, { from, headers: { 'X-Forwarded-For': `10.0.${clients}.1`, ...headers } });
}

function expectFile(answer: CallResult, status = 200): void {
  expect(answer).toMatchObject({ status, bytes: 0, end: 'complete' });
  expect(answer.headers.get('x-accel-redirect')).toBe(`/_blobs/${file}`);
}

function expectBytes(answer: CallResult, status = 200): void {
  expect(answer.status).toBe(status);
  expect(answer.headers.has('x-accel-redirect')).toBe(false);
  if (status === 200) expect(answer.sha256).toBe(blob.digest);
}

describe('a held blob', () => {
  test('is named to the proxy with the headers that it has without it, and counted as sent', async () => {
    const { mirror } = await startWithBlob();
    const answer = await ask(mirror.url, { headers: { 'X-Request-Id': 'one' } });
    expectFile(answer);
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '0',
      'docker-content-digest': blob.digest,
      etag: `"${blob.digest}"`,
      'docker-distribution-api-version': 'registry/2.0',
    });
    const line = () => mirror.log.find(({ requestId }) => requestId === 'one');
    await expect.poll(line).toMatchObject({
      status: 200,
      bytes: size,
      outcome: 'hit',
      sentBy: 'proxy',
    });
    const series = 'cistern_served_bytes_total{upstream="docker.io",kind="blob",outcome="hit"}';
    expect(await mirror.metric(series)).toBe(size);
  });

  test('goes by the configured header and prefix', async () => {
    const accel = { header: 'X-Send', prefix: '/files/of/cistern/' };
    const { mirror } = await startWithBlob({ accel });
    const { headers } = await ask(mirror.url);
    expect(headers.get('x-send')).toBe(`/files/of/cistern/${file}`);
    expect(headers.has('x-accel-redirect')).toBe(false);
  });

  test('is sent to all others, and to a proxy that could not send it', async () => {
    const { mirror } = await startWithBlob();
    const others: readonly Asked[] = [
      { from: '127.0.0.3' },
      { from: '127.0.0.3', headers: { 'X-Forwarded-For': proxy } },
      { from: proxy, headers: { 'X-Forwarded-For': undefined } },
      { from: proxy, headers: { 'X-Accel-Redirect': 'off' } },
    ];
    for (const other of others) expectBytes(await ask(mirror.url, other));
    expectFile(await ask(mirror.url));
  });

  test.each([
    ['bytes=0-', size],
    ['bytes=1000-1999', 1000],
    ['bytes=-5', 5],
  ])('with Range %s is counted by the %i bytes of the range', async (range, bytes) => {
    const { mirror } = await startWithBlob();
    const headers = { Range: range, 'X-Request-Id': 'range' };
    expectFile(await ask(mirror.url, { headers }), 206);
    const entityTag = { 'If-Range': `"${blob.digest}"` };
    expectFile(await ask(mirror.url, { headers: { ...headers, ...entityTag } }), 206);
    const lines = () => mirror.log.filter(({ requestId }) => requestId === 'range');
    await expect.poll(() => lines().map(line => line['bytes'])).toEqual([bytes, bytes]);
  });

  test('is sent from here when a file server may understand the request differently', async () => {
    const { mirror } = await startWithBlob();
    const whole = [
      { Range: 'bytes=0-1', 'If-Range': '"other"' },
      { Range: 'lines=0-1' },
      { 'If-Match': '"other"' },
      { 'If-Modified-Since': new Date(Date.now() + 60_000).toUTCString() },
      { 'If-Unmodified-Since': new Date(0).toUTCString() },
    ];
    for (const headers of whole) expectBytes(await ask(mirror.url, { headers }));
    for (const range of ['bytes=0-1,5-6', 'bytes= 0-1'])
      expectBytes(await ask(mirror.url, { headers: { Range: range } }), 206);
    expectBytes(await ask(mirror.url, { headers: { Range: `bytes=${size}-` } }), 416);
    expectBytes(await ask(mirror.url, { headers: { 'If-None-Match': `"${blob.digest}"` } }), 304);
    const answer = await head(mirror.url, path, { from: proxy, headers: { 'X-Forwarded-For': '10.9.9.9' } });
    expect(answer.headers.get('content-length')).toBe(String(size));
    expect(answer.headers.has('x-accel-redirect')).toBe(false);
  });

  test('whose last check is too old is sent from here while it is checked, and named after', async () => {
    const { mirror } = await startWithBlob({ store: { verify_after: '1d' } });
    const longAgo = new Date(Date.now() - 10 * 86_400_000);
    const future = new Date(Date.now() + 10 * 86_400_000);
    const place = join(mirror.storePath, 'blobs-v1', file);
    await utimes(place, (Math.floor(future.getTime() / 1000) * 1000 + 625) / 1000, longAgo); // the clock was wrong
    expectBytes(await ask(mirror.url));
    expectFile(await ask(mirror.url));
  });

  test('with wrong bytes is not named once a check has found them', async () => {
    const { mirror, upstream } = await startWithBlob();
    const place = join(mirror.storePath, 'blobs-v1', file);
    await writeFile(place, Buffer.alloc(size));
    expect(await get(mirror.url, path)).toMatchObject({ status: 200, end: 'fin-early' }); // asked for again at once
    upstream.log.clear();
    expectBytes(await ask(mirror.url));
    expect(upstream.lines()).toHaveLength(1);
    await expect.poll(() => mirror.metric('cistern_store_blobs')).toBe(1);
    expectBytes(await ask(mirror.url, { headers: { Range: 'bytes=1000-' } })); // the whole, for a client with a wrong head
    expectFile(await ask(mirror.url));
  });
});

test('a blob that is being downloaded is sent from here to each who follows', async () => {
  const { mirror, upstream } = await start();
  const gate = upstream.holdAfter({ digest: blob.digest }, 1_000_000);
  const options = { path, from: proxy, headers: { 'X-Forwarded-For': '10.1.1.1' } };
  const calls = [request(mirror.url, options), request(mirror.url, options)];
  await Promise.all(calls.map(call => call.atLeast(1_000_000)));
  gate.release();
  for (const call of calls) expectBytes(await call.done);
});

test('rights are decided before: what is private is 404, and no file is named', async () => {
  const upstream = await startFakeUpstream({ auth: { kind: 'basic', accounts: { u: { password: 'p' } } } });
  const image = buildImage();
  upstream.put('library/closed', image, 'latest');
  const [layer] = image.layers;
  const http = { trusted_proxies: [proxy], accel: {} };
  const started = { upstream, hub: { username: 'u', password: 'p' } };
  const open = await startTestMirror({ ...started, hub: { ...started.hub, share: 'all' }, config: { http } });
  const what = `/v2/library/closed/blobs/${layer?.descriptor.digest}`;
  expect((await ask(open.url, {}, what)).status).toBe(200);
  await expect.poll(async () => (await ask(open.url, {}, what)).headers.has('x-accel-redirect')).toBe(true);
  await open.close();
  const closed = await startTestMirror({ ...started, storePath: open.storePath, config: { http } });
  const answer = await ask(closed.url, {}, what);
  expect(answer.status).toBe(404);
  expect(answer.headers.has('x-accel-redirect')).toBe(false);
});

test('a pushed blob is named like a mirrored one', async () => {
  const mirror = await startTestMirror({
    config: {
      http: { trusted_proxies: [proxy], accel: {} },
      hosted: { repositories: ['team/**'] },
    },
  });
  const bytes = blob.slice(0, size);
  const at = `/v2/team/app/blobs/uploads/?digest=${blob.digest}`;
  const pushed = await request(mirror.url, { method: 'POST', path: at, body: bytes }).done;
  expect(pushed.status).toBe(201);
  expectFile(await ask(mirror.url, {}, `/v2/team/app/blobs/${blob.digest}`));
});
