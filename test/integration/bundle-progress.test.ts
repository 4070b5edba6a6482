/** What a user sees of a long export and a long import, on a terminal and elsewhere; and Ctrl-C in the middle of either. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import type { ProgressStream } from '../../src/cli/terminal/progress-reporter.ts';
import { exportImages, importBundle, layoutFiles, tarOf } from '../support/bundles.ts';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { tempDir } from '../support/temp-dir.ts';
import { startFakeUpstream } from '../support/upstream.ts';

const layerBytes = 8_000_000;
const image = buildImage({ layers: [patternBlob('large', layerBytes)] });
const accept = { accept: image.mediaType };

class Screen extends PassThrough implements ProgressStream {
  readonly isTTY: boolean;
  text = '';

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
    this.on('data', (chunk: Buffer) => {
      this.text += chunk.toString();
    });
  }
}

test.each([
  ['a terminal gets a bar', true, /fetching \[=*-*\] \d+ %, \d[\d.]* MiB of 7\.6 MiB/],
  [
    'a log gets a line',
    false,
    /^fetching: \d+ %, \d[\d.]* MiB of 7\.6 MiB.*docker\.io\/library\/app@sha256:/,
  ],
])(
  'an export that waits for its upstream: %s; stopped, it leaves no file, and goes on when asked again',
  async (_what, isTTY, shown) => {
    const upstream = await startFakeUpstream();
    upstream.put('library/app', image, '1');
    const gate = upstream.holdAfter(
      { kind: 'blob', method: 'GET', digest: image.layers[0]?.descriptor.digest ?? '' },
      4_000_000,
    );
    const mirror = await startTestMirror({ upstream });
    const folder = await tempDir();
    const screen = new Screen(isTTY);
    const stopped = new AbortController();
    const options = { progressTo: screen, signal: stopped.signal };
    const exporting = exportImages(mirror.file, ['app:1'], join(folder, 'b.tar'), options);
    await gate.reached;
    await expect.poll(() => screen.text).toMatch(shown);
    stopped.abort();
    const { code, stderr } = await exporting;
    expect([code, stderr]).toEqual([1, 'stopped: what was fetched is kept, and the same command goes on\n']);
    expect(await readdir(folder)).toEqual([]);
    gate.release();
    expect((await exportImages(mirror.file, ['app:1'], join(folder, 'b.tar'))).code).toBe(0);
    expect(upstream.contentBytes('blob', image.layers[0]?.descriptor.digest)).toBe(layerBytes);
  },
);

test('an import that waits for its pipe shows how much has come; stopped, nothing of it can be seen', async () => {
  const mirror = await startTestMirror({ config: { offline: true } });
  const bundle = await tarOf(layoutFiles({ 'docker.io/library/app:1': image }));
  const stdin = new PassThrough();
  const screen = new Screen(false);
  const stopped = new AbortController();
  const importing = importBundle(mirror.file, '-', { stdin, progressTo: screen, signal: stopped.signal });
  stdin.write(bundle.subarray(0, bundle.length / 2));
  await expect.poll(() => screen.text).toMatch(/^importing: \d[\d.]* MiB/);
  stopped.abort();
  const { code, stderr } = await importing;
  expect([code, stderr]).toEqual([1, 'stopped: what came is kept, and the same command brings the rest\n']);
  expect((await get(mirror.url, '/v2/library/app/manifests/1', { headers: accept })).status).toBe(503);
  expect((await importBundle(mirror.file, bundle)).code).toBe(0);
  const answer = await get(mirror.url, '/v2/library/app/manifests/1', { headers: accept });
  expect(answer.body).toEqual(image.bytes);
});
