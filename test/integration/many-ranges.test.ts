/** Many ranges of a cold blob cost few questions (docs/behaviour.md, "Ranges"). */
import { describe, expect, test } from 'vitest';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { startTestMirror } from '../support/mirror.ts';
import { blobLine } from '../support/request-log.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const size = 40_000_000;
const blob = patternBlob('many ranges', size);
const path = `/v2/library/big/blobs/${blob.digest}`;
type Span = readonly [first: number, last: number];

async function start(config: Record<string, unknown> = {}) {
  const upstream = await startFakeUpstream();
  upstream.putBlob('library/big', blob.digest, blob);
  return { upstream, mirror: await startTestMirror({ upstream, config }) };
}

/** Asks for all of them at once; the parts are right and in the client's order. */
async function expectParts(url: string, spans: readonly Span[]): Promise<void> {
  const range = `bytes=${spans.map(([first, last]) => `${first}-${last}`).join(',')}`;
  const result = await get(url, path, { headers: { Range: range } });
  expect(result).toMatchObject({ status: 206, end: 'complete' });
  const boundary = /boundary=(\S+)/.exec(result.headers.get('content-type') ?? '')?.[1];
  let at = 0;
  for (const [first, last] of spans) {
    const head = `--${boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes ${first}-${last}/${size}\r\n\r\n`;
    const from = result.body.indexOf(head, at);
    expect(from).toBe(at === 0 ? 0 : at + 2);
    at = from + head.length + last + 1 - first;
    expect(result.body.subarray(from + head.length, at).equals(blob.slice(first, last + 1))).toBe(true);
  }
}

function spread(count: number, every: number, length: number, from = 1000): Span[] {
  return Array.from({ length: count }, (_, index) => [
    from + index * every,
    from + index * every + length - 1,
  ]);
}

function gets(upstream: { lines(): string[] }): string[] {
  return upstream.lines().filter(line => line.startsWith('GET'));
}

describe('of a cold blob', () => {
  test('near ones are one question', async () => {
    const { upstream, mirror } = await start();
    await expectParts(mirror.url, [...spread(200, 50_000, 100), [30_000_000, 30_000_099]]);
    expect(gets(upstream)).toEqual([
      blobLine(blob.digest, 'bytes=1000-9951099'),
      blobLine(blob.digest, 'bytes=30000000-30000099'),
    ]);
  });

  test('hundreds that lie apart are their span', async () => {
    const { upstream, mirror } = await start();
    await expectParts(mirror.url, spread(600, 66_000, 10));
    expect(gets(upstream)).toEqual([blobLine(blob.digest, 'bytes=1000-39535009')]);
  });

  test('up to 32 groups have a question each, in whatever order they are asked for', async () => {
    const { upstream, mirror } = await start();
    const groups = spread(32, 1_000_000, 100).reverse();
    await expectParts(
      mirror.url,
      groups.flatMap(([first]): Span[] => [
        [first + 20_000, first + 20_099],
        [first, first + 99],
      ]),
    );
    expect(gets(upstream)).toHaveLength(32);
  });

  test('without room in the store as well', async () => {
    const { upstream, mirror } = await start({ store: { max_size: '1MiB' } });
    await expectParts(mirror.url, spread(300, 100_000, 100));
    expect(gets(upstream)).toEqual([blobLine(blob.digest, 'bytes=1000-29901099')]);
  });
});

test('what many small ranges have left of a blob is fetched as one; nothing is asked for each gap', async () => {
  const { upstream, mirror } = await start();
  for (const [first, last] of spread(40, 200_000, 70_000)) {
    await get(mirror.url, path, { headers: { Range: `bytes=${first}-${last}` } });
  }
  upstream.log.clear();
  const range = await get(mirror.url, path, { headers: { Range: 'bytes=0-9999999' } });
  expect(range.body.equals(blob.slice(0, 10_000_000))).toBe(true);
  expect(gets(upstream)).toEqual([blobLine(blob.digest, 'bytes=0-9999999')]);
  expect(await get(mirror.url, path, { keep: false })).toMatchObject({ sha256: blob.digest, status: 200 });
  expect(gets(upstream)).toHaveLength(2);
});
