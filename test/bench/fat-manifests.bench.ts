/**
 * How long a hot manifest takes beside four connections that ask HEAD of a manifest of 34,000 layers (4 MiB) again and again, and
 * alone. Marking 34,000 layers as used goes in slices, so the pull of others waits for one slice at most.
 */
import { expect, test } from 'vitest';
import { get, head } from '../support/client.ts';
import { buildImage } from '../support/images.ts';
import { spawnTestMirror } from '../support/mirror.ts';
import { startFakeUpstream } from '../support/upstream.ts';
import { Samples, Table } from './report.ts';

const pulls = 200;
const layers = 34_000;

test('a hot pull beside HEADs of fat manifests', async () => {
  const upstream = await startFakeUpstream();
  const image = buildImage();
  upstream.put('library/alpine', image, 'latest');
  const [layer] = image.layers;
  if (layer === undefined) throw new Error('an image without a layer');
  const named = Array.from({ length: layers }, (_, at) => ({
    mediaType: 'a/b', // 34,000 longer ones would not fit into 4 MiB
    digest: `sha256:${at.toString(16).padStart(64, '0')}`,
    size: 1,
  }));
  const manifest = { schemaVersion: 2, mediaType: image.mediaType, config: layer.descriptor, layers: named };
  const fat = upstream.putManifest('library/fat', Buffer.from(JSON.stringify(manifest)), image.mediaType);
  const mirror = await spawnTestMirror({ upstream });
  const [hot, fatPath] = ['/v2/library/alpine/manifests/latest', `/v2/library/fat/manifests/${fat}`];
  expect((await get(mirror.url, hot)).status).toBe(200);
  expect((await get(mirror.url, fatPath)).status).toBe(200);

  const measure = async (): Promise<Samples> => {
    const times = new Samples();
    for (let at = 0; at < pulls; at += 1) {
      const startedAt = performance.now();
      expect((await get(mirror.url, hot)).status).toBe(200);
      times.add(performance.now() - startedAt);
    }
    return times;
  };
  const alone = await measure();
  let isOver = false;
  const ask = async () => {
    for (; !isOver; ) expect((await head(mirror.url, fatPath)).status).toBe(200);
  };
  const asking = Array.from({ length: 4 }, ask);
  const beside = await measure();
  isOver = true;
  await Promise.all(asking);
  process.stdout.write(`alone ${alone.format(2)} ms, beside four connections ${beside.format(2)} ms\n`);
  const table = new Table('a hot manifest, ms, median of 200', { ms: 2 });
  table.add('alone', { ms: alone.median });
  table.add('beside four connections with HEADs of 34,000 layers', { ms: beside.median });
  table.print();
});
