/** V8's young generation of the built daemon: small at rest, larger when it is busy, and never as large as V8 would make it. */
import { expect, test } from 'vitest';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { spawnWithFigure } from '../support/daemon-figure.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const mebibyte = 1024 * 1024;

test('2 MiB at rest, some 8 after cold pulls, and no more than twice that after many others', async () => {
  const upstream = await startFakeUpstream();
  const blobs = Array.from({ length: 12 }, (_, at) => patternBlob(`young ${at}`, 20 * mebibyte));
  for (const blob of blobs) upstream.putBlob('library/big', blob.digest, blob);
  const { url, figure } = await spawnWithFigure('young-generation', { upstream });
  const pull = async (digest: string) => {
    const path = `/v2/library/big/blobs/${digest}`;
    for (let clients = 0; clients < 3; clients += 1)
      expect(await get(url, path, { keep: false })).toMatchObject({ status: 200, sha256: digest });
  };
  expect(await figure()).toBeLessThanOrEqual(2 * mebibyte);
  const sizes: number[] = [];
  for (const { digest } of blobs) {
    await pull(digest);
    sizes.push(await figure());
  }
  expect(Math.max(...sizes)).toBeGreaterThanOrEqual(4 * mebibyte);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(16 * mebibyte);
});
