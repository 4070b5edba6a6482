import { request } from 'node:http';
import { expect, test } from 'vitest';
import { patternBlob } from '../../support/content.ts';
import { buildImage } from '../../support/images.ts';
import { blobLine, manifestLine } from '../../support/request-log.ts';
import { startFakeUpstream } from '../../support/upstream.ts';

function get(url: string, headers: Record<string, string> = {}): Promise<{ status: number; bytes: Buffer }> {
  return new Promise((resolve, reject) => {
    request(url, { headers, agent: false }, async response => {
      const chunks: Buffer[] = [];
      for await (const chunk of response) chunks.push(chunk as Buffer);
      resolve({ status: response.statusCode ?? 0, bytes: Buffer.concat(chunks) });
    })
      .on('error', reject)
      .end();
  });
}

test('smoke', async () => {
  const upstream = await startFakeUpstream();
  const big = patternBlob('big', 3_000_000);
  const image = buildImage({ layers: ['layer a', big] });
  upstream.put('library/alpine', image, '3.20');
  expect((await get(`${upstream.url}/v2/library/alpine/manifests/3.20`)).bytes).toEqual(image.bytes);
  const part = await get(`${upstream.url}/v2/library/alpine/blobs/${big.digest}`, {
    Range: 'bytes=1000000-',
  });
  expect(part.status).toBe(206);
  expect(part.bytes.equals(big.slice(1_000_000, 3_000_000))).toBe(true);
  expect(upstream.lines()).toEqual([manifestLine('3.20'), blobLine(big.digest, 'bytes=1000000-')]);
  expect(upstream.contentBytes('blob')).toBe(2_000_000);
});
