/** Many different requests at once are everyday work, not a leak: no warning is logged. */
import { expect, onTestFinished, test } from 'vitest';
import { get } from '../support/client.ts';
import { patternBlob } from '../support/content.ts';
import { buildImage } from '../support/images.ts';
import { startTestMirror } from '../support/mirror.ts';
import { startFakeUpstream } from '../support/upstream.ts';

test('forty questions under way: no warning of the process', async () => {
  const warnings: Error[] = [];
  const listen = (warning: Error) => void warnings.push(warning);
  process.on('warning', listen);
  onTestFinished(() => void process.off('warning', listen));
  const upstream = await startFakeUpstream();
  const mirror = await startTestMirror({ upstream });
  const blob = patternBlob('many questions', 3_000_000);
  const image = buildImage();
  const names = Array.from({ length: 20 }, (_, n) => `library/many${n}`);
  for (const name of names) {
    upstream.put(name, image, 'latest');
    upstream.putBlob(name, blob.digest, blob);
  }
  const gate = upstream.holdHeaders({}, { times: 'always' });
  const calls = names.flatMap(name => [
    get(mirror.url, `/v2/${name}/manifests/latest`),
    get(mirror.url, `/v2/${name}/blobs/${blob.digest}`, { headers: { Range: 'bytes=5-9' } }),
  ]);
  await upstream.log.until(entries => entries.length === calls.length);
  gate.release();
  for (const result of await Promise.all(calls)) expect([200, 206]).toContain(result.status);
  expect(warnings).toEqual([]);
});
