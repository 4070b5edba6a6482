/**
 * Ranges of a cold blob that lie far from its front: fetched once, kept, and what is fetched later is only what is
 * missing. Asserted by the requests that reached the upstream: disjoint ranges that cover the blob exactly.
 */
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { get, request } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { answer, changeHeaders, cut, flip, ignoreRange } from '../support/faults.ts';
import { startTestMirror, type TestMirrorOptions } from '../support/mirror.ts';
import { blobLine } from '../support/request-log.ts';
import { filesUnder } from '../support/temp-dir.ts';
import { type FakeUpstreamOptions, startFakeUpstream } from '../support/upstream.ts';

const megabyte = 1_000_000;
const size = 100 * megabyte;
const blob = patternBlob('far ranges', size);
const path = `/v2/library/big/blobs/${blob.digest}`;

type Upstream = Awaited<ReturnType<typeof startFakeUpstream>>;
type Span = readonly [first: number, last: number];

async function start(options: Omit<TestMirrorOptions, 'upstream'> & { fake?: FakeUpstreamOptions } = {}) {
  const { fake = {}, ...rest } = options;
  const upstream = await startFakeUpstream(fake);
  upstream.putBlob('library/big', blob.digest, blob);
  return { upstream, mirror: await startTestMirror({ upstream, ...rest }) };
}

function rangeOf([first, last]: Span): string {
  return `bytes=${first}-${last}`;
}

async function expectRange(mirror: { url: string }, span: Span): Promise<void> {
  const [first, last] = span;
  const result = await get(mirror.url, path, { headers: { Range: rangeOf(span) }, keep: false });
  const sha256 = digestOf(blob.slice(first, last + 1));
  expect(result).toMatchObject({ status: 206, end: 'complete', bytes: last + 1 - first, sha256 });
  expect(result.headers.get('content-range')).toBe(`bytes ${first}-${last}/${size}`);
}

async function expectWhole(mirror: { url: string }): Promise<void> {
  const result = await get(mirror.url, path, { keep: false });
  expect(result).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
}

/** What was asked of the blob, sorted; an open-ended range reaches its end. */
function spansAsked(upstream: Upstream): Span[] {
  return upstream.requests
    .filter(entry => entry.method === 'GET' && entry.kind === 'blob')
    .map((entry): Span => {
      const found = /^bytes=(\d+)-(\d*)$/.exec(entry.range ?? 'bytes=0-');
      return [Number(found?.[1]), found?.[2] ? Number(found[2]) : size - 1];
    })
    .sort((a, b) => a[0] - b[0]);
}

/** Each byte was asked for once, and came once. */
function expectOnce(upstream: Upstream): void {
  const spans = spansAsked(upstream);
  const firsts = spans.map(([first]) => first);
  const afterLasts = [0, ...spans.slice(0, -1).map(([, last]) => last + 1)];
  expect({ firsts, end: spans.at(-1)?.[1] }).toEqual({ firsts: afterLasts, end: size - 1 });
  expect(upstream.contentBytes('blob')).toBe(size);
}

/** Waits until nothing of the blob is being fetched any more. */
async function untilIdle(mirror: { metric(series: string): Promise<number> }): Promise<void> {
  await expect.poll(() => mirror.metric('cistern_downloads_active{upstream="docker.io"}')).toBe(0);
}

describe('a far range is fetched once and kept', () => {
  test('the next one asks for what is missing of it, and a full pull for the gaps', async () => {
    const { upstream, mirror } = await start();
    await expectRange(mirror, [50 * megabyte, 60 * megabyte - 1]);
    await expectRange(mirror, [45 * megabyte, 65 * megabyte - 1]);
    await expectRange(mirror, [52 * megabyte, 53 * megabyte - 1]);
    await expectWhole(mirror);
    expect(upstream.lines()).toEqual([
      blobLine(blob.digest, `bytes=50000000-59999999`),
      blobLine(blob.digest, `bytes=45000000-49999999`),
      blobLine(blob.digest, `bytes=60000000-64999999`),
      blobLine(blob.digest, `bytes=0-44999999`),
      blobLine(blob.digest, `bytes=65000000-`),
    ]);
    expectOnce(upstream);
  });

  test('one that another client is fetching is waited for, as its bytes come', async () => {
    const { upstream, mirror } = await start();
    const gate = upstream.holdAfter({ digest: blob.digest }, 5 * megabyte);
    const first = request(mirror.url, { path, headers: { Range: 'bytes=50000000-59999999' }, keep: false });
    await gate.reached;
    await expectRange(mirror, [51 * megabyte, 52 * megabyte]);
    const later = request(mirror.url, { path, headers: { Range: 'bytes=54000000-56999999' } });
    await later.atLeast(megabyte / 2);
    gate.release();
    expect((await later.done).body.equals(blob.slice(54_000_000, 57_000_000))).toBe(true);
    expect(await first.done).toMatchObject({ bytes: 10 * megabyte, end: 'complete' });
    expect(upstream.lines()).toEqual([blobLine(blob.digest, 'bytes=50000000-59999999')]);
  });

  test('ahead of a running download it has a request of its own, and the download goes on in the background', async () => {
    const { upstream, mirror } = await start();
    const gate = upstream.holdAfter({ digest: blob.digest }, 10 * megabyte);
    const whole = request(mirror.url, { path, keep: false });
    await gate.reached;
    await expectRange(mirror, [50 * megabyte, 60 * megabyte - 1]);
    gate.release();
    expect(await whole.done).toMatchObject({ sha256: blob.digest, end: 'complete' });
    expect(upstream.lines()).toEqual([
      blobLine(blob.digest),
      blobLine(blob.digest, 'bytes=50000000-59999999'),
      blobLine(blob.digest, 'bytes=60000000-'),
    ]);
  });

  test('the requests count as a miss, then as joined, then as a hit', async () => {
    const { mirror } = await start();
    const span: Span = [50 * megabyte, 51 * megabyte];
    const count = (outcome: string) =>
      mirror.metric(
        `cistern_requests_total{upstream="docker.io",kind="blob",method="GET",status="206",outcome="${outcome}"}`,
      );
    await expectRange(mirror, span);
    await expect.poll(() => count('miss')).toBe(1);
    await expectRange(mirror, span);
    await expect.poll(() => count('joined')).toBe(1);
    await expectWhole(mirror);
    await untilIdle(mirror);
    await expectRange(mirror, span);
    await expect.poll(() => count('hit')).toBe(1);
  });

  test('a client that leaves early: its range comes to its end', async () => {
    const { upstream, mirror } = await start();
    const gate = upstream.holdAfter({ digest: blob.digest }, megabyte);
    const call = request(mirror.url, { path, headers: { Range: 'bytes=50000000-59999999' }, keep: false });
    await gate.reached;
    await call.firstByte;
    call.abort();
    gate.release();
    await untilIdle(mirror);
    await expectRange(mirror, [50 * megabyte, 60 * megabyte - 1]);
    expect(upstream.lines()).toEqual([blobLine(blob.digest, 'bytes=50000000-59999999')]);
  });

  test('finish: never: it ends with its client, what came is kept', async () => {
    const { upstream, mirror } = await start({ hub: { finish: 'never' } });
    const gate = upstream.holdAfter({ digest: blob.digest }, 5 * megabyte);
    const call = request(mirror.url, { path, headers: { Range: 'bytes=50000000-59999999' }, keep: false });
    await gate.reached;
    await call.atLeast(5 * megabyte);
    call.abort();
    await untilIdle(mirror);
    await expectRange(mirror, [50 * megabyte, 60 * megabyte - 1]);
    expect(upstream.lines()).toEqual([
      blobLine(blob.digest, 'bytes=50000000-59999999'),
      blobLine(blob.digest, 'bytes=55000000-59999999'),
    ]);
    gate.release();
  });
});

describe('many at once', () => {
  const edge = fc.integer({ min: 0, max: size - 2 });
  const spans = fc.array(
    fc.tuple(edge, edge, fc.boolean()).map(([a, b, leaves]) => ({
      span: [Math.min(a, b), Math.max(a, b)] satisfies Span,
      leaves,
    })),
    { minLength: 12, maxLength: 12 },
  );

  test('twelve overlapping ranges in any order, some left early, and then all of it: every byte once', async () => {
    await fc.assert(
      fc.asyncProperty(spans, async asked => {
        const { upstream, mirror } = await start();
        await Promise.all(
          asked.map(async ({ span, leaves }) => {
            if (!leaves) return expectRange(mirror, span);
            const call = request(mirror.url, { path, headers: { Range: rangeOf(span) }, keep: false });
            await call.firstByte;
            call.abort();
          }),
        );
        await expectWhole(mirror);
        expectOnce(upstream);
        await mirror.close();
      }),
      { numRuns: 3, seed: 20260112, endOnFailure: true },
    );
  });

  test('containerd 2.1: several open-ended ranges at once cost one transfer', async () => {
    const { upstream, mirror } = await start();
    const starts = [0, 25, 50, 75].map(from => from * megabyte);
    const results = await Promise.all(
      starts.map(from => get(mirror.url, path, { headers: { Range: `bytes=${from}-` }, keep: false })),
    );
    for (const [index, { sha256 }] of results.entries())
      expect(sha256).toBe(digestOf(blob.slice(starts[index] ?? 0, size)));
    expect(upstream.lines()).toEqual([blobLine(blob.digest)]);
    expectOnce(upstream);
  });

  test('podman zstd:chunked: the parts of several ranges, then a full pull: every byte once', async () => {
    const { upstream, mirror } = await start();
    const parts: Span[] = [
      [megabyte, 2 * megabyte],
      [70 * megabyte, 71 * megabyte],
      [30 * megabyte, 30 * megabyte + 99_999],
    ];
    const header = `bytes=${parts.map(([first, last]) => `${first}-${last}`).join(',')}`;
    for (let n = 0; n < 2; n += 1) {
      const { status, body } = await get(mirror.url, path, { headers: { Range: header } });
      expect(status).toBe(206);
      for (const [first, last] of parts) {
        const head = Buffer.from(`Content-Range: bytes ${first}-${last}/${size}\r\n\r\n`);
        expect(body.includes(Buffer.concat([head, blob.slice(first, last + 1)]))).toBe(true);
      }
    }
    await expectWhole(mirror);
    expectOnce(upstream);
  });
});

describe('sources that are not as they should be', () => {
  test('a cut in the middle is continued where it was', async () => {
    const { upstream, mirror } = await start();
    upstream.fault({ digest: blob.digest }, cut(3 * megabyte));
    await expectRange(mirror, [50 * megabyte, 60 * megabyte - 1]);
    await expectWhole(mirror);
    const lines = upstream.lines();
    // what had come in the same moment as the cut may be lost with its connection
    const from = Number(/bytes=(\d+)-59999999$/.exec(lines[1] ?? '')?.[1]);
    expect(from).toBeGreaterThan(50 * megabyte);
    expect(from).toBeLessThanOrEqual(53 * megabyte);
    expect(lines).toEqual([
      blobLine(blob.digest, 'bytes=50000000-59999999'),
      blobLine(blob.digest, `bytes=${from}-59999999`),
      blobLine(blob.digest, 'bytes=0-49999999'),
      blobLine(blob.digest, 'bytes=60000000-'),
    ]);
  });

  test.each([
    ['once', 1],
    ['always', 'always'],
  ] as const)('200 and everything instead of the range, %s: all of it is kept', async (_what, times) => {
    const { upstream, mirror } = await start();
    upstream.fault({ digest: blob.digest }, ignoreRange(), { times });
    await expectRange(mirror, [50 * megabyte, 60 * megabyte - 1]);
    await expectWhole(mirror);
    await expectRange(mirror, [70 * megabyte, 80 * megabyte - 1]);
    expect(upstream.lines()).toEqual([blobLine(blob.digest, 'bytes=50000000-59999999')]);
    expect(upstream.contentBytes('blob')).toBe(size);
  });

  test('a far range that was wrong is found out by the next full pull, and healed by the one after it', async () => {
    const { upstream, mirror } = await start();
    upstream.fault({ digest: blob.digest }, flip(55 * megabyte));
    const wrong = await get(mirror.url, path, { headers: { Range: 'bytes=50000000-59999999' } });
    expect(wrong.body.equals(blob.slice(50_000_000, 60_000_000))).toBe(false);
    const found = await get(mirror.url, path, { keep: false });
    expect(found).toMatchObject({ status: 200, end: 'fin-early' });
    expect(found.bytes).toBeLessThan(size);
    const doubted = await get(mirror.url, path, {
      headers: { Range: 'bytes=50000000-59999999' },
      keep: false,
    });
    expect(doubted).toMatchObject({ status: 200, sha256: blob.digest, end: 'complete' });
    await expectWhole(mirror);
  });

  test.each(['always', 'never'])(
    'a source that hides the size: all of it is fetched, finish: %s',
    async finish => {
      const { upstream, mirror } = await start({ hub: { finish } });
      const span: Span = [50 * megabyte, 60 * megabyte - 1];
      upstream.fault(
        { digest: blob.digest },
        changeHeaders({ 'Content-Range': 'bytes 50000000-59999999/*' }),
      );
      await expectRange(mirror, span);
      await expectWhole(mirror);
      expect(upstream.lines()[0]).toBe(blobLine(blob.digest, rangeOf(span)));
      if (finish === 'always') expect(upstream.contentBytes('blob')).toBe(size);
    },
  );

  test('a blob that the upstream does not have is 404, and nothing stays on disk', async () => {
    const { upstream, mirror } = await start();
    upstream.fault({ digest: blob.digest }, answer(404), { times: 'always' });
    const result = await get(mirror.url, path, { headers: { Range: 'bytes=50000000-59999999' } });
    expect(result).toMatchObject({ status: 404, end: 'complete' });
    await untilIdle(mirror);
    expect(await filesUnder(join(mirror.storePath, 'ingest-v1'))).toEqual([]);
  });

  test('a store without room passes ranges through', async () => {
    const { upstream, mirror } = await start({ config: { store: { max_size: '2MB' } } });
    await mirror.settled();
    const span: Span = [50 * megabyte, 60 * megabyte - 1];
    await expectRange(mirror, span);
    await expectRange(mirror, span);
    expect(upstream.lines()).toEqual([
      blobLine(blob.digest, rangeOf(span)),
      blobLine(blob.digest, rangeOf(span)),
    ]);
  });
});
