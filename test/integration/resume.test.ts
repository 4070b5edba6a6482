/** An upstream transfer that breaks is continued, and clients notice nothing: right digest, one Range, hardly a byte twice. */
import { describe, expect, test } from 'vitest';
import { get, requestMany } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { cut, drip, reset, stall } from '../support/faults.ts';
import { startTestMirror } from '../support/mirror.ts';
import { blobLine } from '../support/request-log.ts';
import { type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';

const size = 20_000_000;
const blob = patternBlob('resumed', size);
const path = `/v2/library/big/blobs/${blob.digest}`;

async function start(options: FakeUpstreamOptions = {}, timeouts: Record<string, unknown> = {}) {
  const upstream = await startFakeUpstream(options);
  upstream.putBlob('library/big', blob.digest, blob);
  const mirror = await startTestMirror({ upstream, hub: { timeouts } });
  return { upstream, mirror };
}

async function expectAllServed(mirror: { url: string }, clients = 8): Promise<void> {
  const results = await Promise.all(requestMany(clients, mirror.url, { path }).map(call => call.done));
  for (const result of results)
    expect(result).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
}

describe.each([10, 50, 99])('the upstream breaks at %i %%', percent => {
  const at = (size / 100) * percent;

  test('by closing', async () => {
    const { upstream, mirror } = await start();
    upstream.fault({ digest: blob.digest }, cut(at));
    await expectAllServed(mirror);
    expect(upstream.lines()).toEqual([blobLine(blob.digest), expect.stringMatching(/ bytes=\d+-$/)]);
    expect(upstream.contentBytes('blob')).toBeLessThanOrEqual(size * 1.05);
    expect(await mirror.metric('cistern_downloads_resumed_total{upstream="docker.io",cause="cut"}')).toBe(1);
  });

  test('by a reset', async () => {
    const { upstream, mirror } = await start();
    upstream.fault({ digest: blob.digest }, reset(at));
    await expectAllServed(mirror);
    expect(upstream.lines()).toHaveLength(2);
    expect(upstream.lines()[1]).toMatch(/bytes=\d+-$/);
    expect(upstream.contentBytes('blob')).toBeLessThanOrEqual(size * 1.05);
  });

  test('by falling silent', async () => {
    const { upstream, mirror } = await start({}, { stall: '500ms' });
    upstream.fault({ digest: blob.digest }, stall(at));
    await expectAllServed(mirror);
    expect(upstream.lines()).toEqual([blobLine(blob.digest), expect.stringMatching(/ bytes=\d+-$/)]);
    expect(upstream.contentBytes('blob')).toBeLessThanOrEqual(size * 1.05);
  });

  test('and refuses connections for 2 s', async () => {
    const { upstream, mirror } = await start();
    const gate = upstream.holdAfter({ digest: blob.digest }, at);
    const served = expectAllServed(mirror);
    await gate.reached;
    await upstream.refuse();
    setTimeout(() => void upstream.accept(), 2000);
    await served;
    const blobLines = upstream.lines().filter(line => line.includes('blobs/'));
    expect(blobLines).toHaveLength(2);
    expect(blobLines[1]).toMatch(/bytes=\d+-$/);
    expect(upstream.contentBytes('blob')).toBeLessThanOrEqual(size * 1.05);
  });
});

test('a resume asks the registry for a fresh redirect, since the signed URL is used up', async () => {
  const { upstream, mirror } = await start({ redirect: true });
  upstream.fault({ digest: blob.digest }, cut(size / 2));
  await expectAllServed(mirror, 2);
  const [, , again = ''] = upstream.lines();
  const range = / (bytes=\d+-)$/.exec(again)?.[1];
  expect(upstream.lines()).toEqual([
    blobLine(blob.digest),
    `storage ${blobLine(blob.digest)}`,
    blobLine(blob.digest, range),
    `storage ${blobLine(blob.digest, range)}`,
  ]);
  expect(upstream.contentBytes('blob')).toBeLessThanOrEqual(size * 1.05);
});

test('an upstream without ranges is read from its start again, and the clients see one body', async () => {
  const { upstream, mirror } = await start({ quirks: { noRange: true } });
  upstream.fault({ digest: blob.digest }, cut(size / 2));
  await expectAllServed(mirror);
  expect(upstream.lines()).toEqual([blobLine(blob.digest), expect.stringMatching(/ bytes=\d+-$/)]);
});

test('an upstream that hides the size is served all the same', async () => {
  const { upstream, mirror } = await start({ quirks: { chunked: true } });
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({
    sha256: blob.digest,
    end: 'complete',
  });
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({
    sha256: blob.digest,
    end: 'complete',
  });
  expect(upstream.lines()).toEqual([blobLine(blob.digest)]);
});

test('nothing moves for give_up: the clients are cut by FIN, the partial is kept, and the next ask fetches the rest', async () => {
  const { upstream, mirror } = await start({}, { stall: '100ms', give_up: '300ms', first_byte: '200ms' });
  const rule = upstream.fault({ digest: blob.digest }, stall(size / 2), { times: 1 });
  const dead = upstream.fault({ digest: blob.digest }, stall(0), { nth: 2, times: 'always' });
  const first = await get(mirror.url, path, { keep: false });
  expect(first).toMatchObject({ status: 200, end: 'fin-early' });
  rule.remove();
  dead.remove();
  upstream.log.clear();
  await expectAllServed(mirror, 1);
  expect(upstream.lines()).toEqual([expect.stringMatching(/ bytes=\d+-$/)]);
  expect(upstream.contentBytes('blob')).toBeLessThanOrEqual(size * 0.55);
});

test('a dripping upstream is no stalled one', async () => {
  const upstream = await startFakeUpstream();
  const small = patternBlob('drip', 20_000);
  upstream.putBlob('library/big', small.digest, small);
  const mirror = await startTestMirror({ upstream, hub: { timeouts: { stall: '400ms' } } });
  upstream.fault({ digest: small.digest }, drip(1000, 50));
  const result = await get(mirror.url, `/v2/library/big/blobs/${small.digest}`, { keep: false });
  expect(result).toMatchObject({ sha256: small.digest, end: 'complete' });
  expect(upstream.lines()).toEqual([blobLine(small.digest)]);
});
